"""Every format holds the same rows."""

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from mfcli.cli.formats import COLUMNS, STD, Recommendations, open_writer

BLOCKS = [
    Recommendations(
        {
            "user": [7, 7],
            "rank": [1, 2],
            "item": [10, 11],
            "title": ['Seven, "Se7en" (1995)', "A [rec] (2007)"],
            "genres": ["Crime|Drama", ""],
            "prediction": [4.123456, 3.0],
        }
    ),
    Recommendations(
        {
            "user": [8],
            "rank": [1],
            "item": [12],
            "title": ["Amélie\nof 기생충"],
            "genres": ["Comedy"],
            "prediction": [0.5],
        }
    ),
]
ROWS = [
    (7, 1, 10, 'Seven, "Se7en" (1995)', "Crime|Drama", 4.1235),
    (7, 2, 11, "A [rec] (2007)", "", 3.0),
    (8, 1, 12, "Amélie\nof 기생충", "Comedy", 0.5),
]


def written(kind: str, blocks: list[Recommendations], *, text: bool = False, std: bool = False) -> bytes:
    file = io.BytesIO()
    columns = (*COLUMNS, STD) if std else COLUMNS
    writer = open_writer(kind, file, text_users=text, text_items=text, columns=columns)
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
        return [
            r | {n: int(r[n]) for n in ("user", "rank", "item")} | {"prediction": float(r["prediction"])} for r in rows
        ]
    return json.loads(text) if kind == "json" else [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_every_format_holds_the_same_rows(kind: str) -> None:
    rows = read(kind, written(kind, BLOCKS))
    assert [tuple(row) for row in rows] == [COLUMNS] * 3
    for row, expected in zip(rows, ROWS, strict=True):
        assert tuple(row.values())[:-1] == expected[:-1]
        assert row["prediction"] == pytest.approx(expected[-1], abs=1e-4)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_nothing_to_write_is_still_a_file_that_can_be_read(kind: str) -> None:
    assert read(kind, written(kind, [])) == []


def test_text_formats_to_the_byte() -> None:
    assert written("csv", BLOCKS[1:]).decode() == (
        'user,rank,item,title,genres,prediction\n8,1,12,"Amélie\nof 기생충",Comedy,0.5000\n'
    )
    record = '{"user": 8, "rank": 1, "item": 12, "title": "Amélie\\nof 기생충", "genres": "Comedy", "prediction": 0.5}'
    assert written("jsonl", BLOCKS[1:]).decode() == record + "\n"
    assert written("json", BLOCKS[1:]).decode() == f"[\n  {record}\n]\n"
    assert written("json", []) == b"[]\n"


def test_a_table_has_one_heading_a_user_and_shows_titles_as_they_are() -> None:
    lines = written("table", BLOCKS[:1]).decode().splitlines()
    assert lines[0] == "user 7"
    assert lines[1].split() == ["item", "title", "genres", "rating"]
    assert lines[3].split("   ")[-2:] == ["Crime, Drama", "  4.12"]
    assert "A [rec] (2007)" in lines[4]
    assert written("table", BLOCKS).decode().count("user ") == 2
    assert written("table", []) == b""


def test_parquet_has_ids_of_the_kind_the_data_have() -> None:
    numbers = pq.read_schema(io.BytesIO(written("parquet", BLOCKS)))
    assert [str(numbers.field(name).type) for name in COLUMNS] == [
        "int64",
        "int32",
        "int64",
        "string",
        "string",
        "float",
    ]
    texts = Recommendations(BLOCKS[1].columns | {"user": ["new"], "item": ["tt0110912"]})
    (row,) = read("parquet", written("parquet", [texts], text=True))
    assert (row["user"], row["item"]) == ("new", "tt0110912")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "table"])
def test_a_block_is_written_when_it_comes(kind: str) -> None:
    """What is written does not wait in memory for the end."""
    file = io.BytesIO()
    writer = open_writer(kind, file, text_users=False, text_items=False)
    writer.write(BLOCKS[0])
    assert b"A [rec] (2007)" in file.getvalue()


def test_a_writer_that_is_dropped_leaves_the_file_open() -> None:
    """As when a later block fails: standard output must live on for the message's sake."""
    file = io.BytesIO()
    for kind in ("csv", "jsonl", "json", "table"):
        open_writer(kind, file, text_users=False, text_items=False).write(BLOCKS[0])
        assert not file.closed


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_the_standard_deviation_is_one_more_column(kind: str) -> None:
    (row,) = read(kind, written(kind, [Recommendations(BLOCKS[1].columns | {STD: [0.87654]})], std=True))
    assert tuple(row) == (*COLUMNS, STD)
    assert float(row[STD]) == pytest.approx(0.87654, abs=1e-4)
    table = written("table", [Recommendations(BLOCKS[0].columns | {STD: [0.5, 0.25]})], std=True).decode()
    assert table.splitlines()[3].endswith("4.12   0.50")
