"""Every format holds the same rows."""

import csv
import gc
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from mfcli.config.recommend import RecommendConfig
from mfcli.data.formats import FORMATS, Block, Column, Writer

COLUMNS = (
    Column("user", "int64", "user", in_title=True),
    Column("rank", "int32", ""),
    Column("item", "int64", "item"),
    Column("title", "string", "title", gives_way=True),
    Column("genres", "string", "genres", gives_way=True, several=True),
    Column("prediction", "float32", "rating"),
    Column("score", "float64", "score"),
    Column("ranked_by", "string", "ranked by", in_title=True),
)
NAMES = tuple(column.name for column in COLUMNS)
BLOCKS: list[Block] = [
    {
        "user": [7, 7],
        "rank": [1, 2],
        "item": [10, 11],
        "title": ['Seven, "Se7en" (1995)', "A [rec] | b (2007)"],
        "genres": ["Crime|Drama", ""],
        "prediction": [4.123456, 3.0],
        "score": [1.23456789012, 0.000123456789012],
        "ranked_by": ["likely", "likely"],
    },
    {
        "user": [8],
        "rank": [1],
        "item": [12],
        "title": ["Amélie\nof 기생충"],
        "genres": ["Comedy"],
        "prediction": [0.5],
        "score": [-2.0],
        "ranked_by": ["rating"],
    },
]
ROWS = [
    (7, 1, 10, 'Seven, "Se7en" (1995)', "Crime|Drama", 4.1235, 1.23456789, "likely"),
    (7, 2, 11, "A [rec] | b (2007)", "", 3.0, 0.000123456789, "likely"),
    (8, 1, 12, "Amélie\nof 기생충", "Comedy", 0.5, -2.0, "rating"),
]


FOR_MACHINES = [name for name in FORMATS if name != "table"]
TEXTS = [name for name, form in FORMATS.items() if form.text]


def opened(kind: str, file: io.BytesIO, columns: Sequence[Column] = COLUMNS) -> Writer:
    return FORMATS[kind].writer(file, columns)


def written(kind: str, blocks: list[Block], columns: Sequence[Column] = COLUMNS) -> bytes:
    file = io.BytesIO()
    writer = opened(kind, file, columns)
    for block in blocks:
        writer.write(block)
    writer.close()
    assert not file.closed, "the file is the caller's to close"
    return file.getvalue()


def read(kind: str, content: bytes) -> list[dict[str, Any]]:
    if kind == "parquet":
        return [dict(row) for row in pq.read_table(io.BytesIO(content)).to_pylist()]
    text = content.decode()
    if kind == "csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        kinds = {"user": int, "rank": int, "item": int, "prediction": float, "score": float}
        return [row | {name: kind(row[name]) for name, kind in kinds.items()} for row in rows]
    return json.loads(text) if kind == "json" else [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.mark.parametrize("kind", FOR_MACHINES)
def test_every_format_holds_the_same_rows(kind: str) -> None:
    rows = read(kind, written(kind, BLOCKS))
    assert [tuple(row) for row in rows] == [NAMES] * 3
    for row, expected in zip(rows, ROWS, strict=True):
        values = dict(zip(NAMES, expected, strict=True))
        assert row == values | {
            "prediction": pytest.approx(values["prediction"], abs=1e-4),
            "score": pytest.approx(values["score"], rel=1e-8),
        }


@pytest.mark.parametrize("kind", FOR_MACHINES)
def test_nothing_to_write_is_still_a_file_that_can_be_read(kind: str) -> None:
    assert read(kind, written(kind, [])) == []


def test_text_formats_to_the_byte() -> None:
    assert written("csv", BLOCKS[1:]).decode() == (
        'user,rank,item,title,genres,prediction,score,ranked_by\n8,1,12,"Amélie\nof 기생충",Comedy,0.5000,-2,rating\n'
    )
    record = (
        '{"user": 8, "rank": 1, "item": 12, "title": "Amélie\\nof 기생충", "genres": "Comedy", "prediction": 0.5, '
        '"score": -2.0, "ranked_by": "rating"}'
    )
    assert written("jsonl", BLOCKS[1:]).decode() == record + "\n"
    assert written("json", BLOCKS[1:]).decode() == f"[\n  {record}\n]\n"
    assert written("json", []) == b"[]\n"


def test_a_table_has_one_heading_a_user_and_shows_titles_as_they_are() -> None:
    lines = written("table", BLOCKS[:1]).decode().splitlines()
    assert lines[0] == "user 7, ranked by likely"
    assert lines[1].split() == ["item", "title", "genres", "rating", "score"]
    assert lines[3].endswith("Crime, Drama     4.12       1.2346")
    assert lines[4].endswith(" 3.00   0.00012346")
    assert "A [rec] | b (2007)" in lines[4]
    assert written("table", BLOCKS).decode().count("user ") == 2
    assert written("table", []) == b""


def test_what_stands_below_a_title_has_a_line_each() -> None:
    columns = (*COLUMNS, Column("why", "string", "because of", below=True))
    lines = written("table", [{**BLOCKS[0], "why": ["A: 5 (3%)|B: 4 (2%)", ""]}], columns).decode().splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["title"], ["item", "because"], [lines[3]]]
    texts = ["1 10 Seven,", "A: 5 (3%)", "B: 4 (2%)", "2 11 A"]
    assert [" ".join(line.split()[:3]) for line in lines[4:]] == texts


def test_without_titles_the_table_has_no_column_of_them() -> None:
    columns = (*COLUMNS, Column("why", "string", "because of", below=True))
    bare = {**BLOCKS[0], "title": ["", ""], "genres": ["", ""]}
    lines = written("table", [{**bare, "why": ["A: 5 (3%)|B: 4 (2%)", ""]}], columns).decode().splitlines()
    assert lines[1].split() == ["item", "because", "of", "rating", "score"]
    assert lines[4].split() == ["B:", "4", "(2%)"]
    assert written("table", [bare]).decode().splitlines()[1].split() == ["item", "rating", "score"]


def test_parquet_has_the_kinds_declared_and_text_for_any_id_where_ids_are_text() -> None:
    schema = pq.read_schema(io.BytesIO(written("parquet", BLOCKS)))
    kinds = [str(schema.field(name).type) for name in NAMES]
    assert kinds == ["int64", "int32", "int64", "string", "string", "float", "double", "string"]
    texts = [replace(column, kind="string") if column.name in ("user", "item") else column for column in COLUMNS]
    block = {**BLOCKS[0], "user": ["new", 7], "item": ["tt0110912", "tt0110913"]}
    rows = read("parquet", written("parquet", [block], texts))
    assert [(row["user"], row["item"]) for row in rows] == [("new", "tt0110912"), ("7", "tt0110913")]


@pytest.mark.parametrize("kind", TEXTS)
def test_a_block_is_written_when_it_comes(kind: str) -> None:
    """What is written does not wait in memory for the end."""
    file = io.BytesIO()
    opened(kind, file).write(BLOCKS[0])
    assert b"A [rec] | b (2007)" in file.getvalue()


@pytest.mark.parametrize("kind", TEXTS)
def test_a_writer_that_is_dropped_leaves_the_file_open(kind: str) -> None:
    """As when a later block fails: standard output must live on for the message's sake."""
    file = io.BytesIO()
    opened(kind, file).write(BLOCKS[0])
    assert not file.closed


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_a_table_that_is_abandoned_has_no_end(kind: str) -> None:
    """What is not all must not look whole."""
    file = io.BytesIO()
    writer = opened(kind, file)
    writer.write(BLOCKS[0])
    writer.abandon()
    del writer
    gc.collect()
    with pytest.raises((ValueError, OSError)):
        read(kind, file.getvalue())


@pytest.mark.parametrize("kind", FOR_MACHINES)
def test_one_more_column_is_one_more_in_every_format(kind: str) -> None:
    columns = (*COLUMNS, Column("std", "float32", "±"))
    (row,) = read(kind, written(kind, [{**BLOCKS[1], "std": [0.87654]}], columns))
    assert tuple(row) == (*NAMES, "std")
    assert float(row["std"]) == pytest.approx(0.87654, abs=1e-4)
    table = written("table", [{**BLOCKS[0], "std": [0.5, 0.25]}], columns).decode()
    assert table.splitlines()[3].endswith("1.2346   0.50")


def test_the_option_offers_every_format_and_each_has_an_ending_of_its_own() -> None:
    assert RecommendConfig.option("format").choices == tuple(FORMATS)
    assert len({form.ending for form in FORMATS.values()}) == len(FORMATS)
