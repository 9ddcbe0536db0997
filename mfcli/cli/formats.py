"""Recommendations as they are written: table, csv, jsonl, json or parquet, block after block."""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

COLUMNS = ("user", "rank", "item", "title", "genres", "prediction")
STD = "std"  # a further column, the standard deviation of a rating about its prediction
DECIMALS = 4  # of a prediction, or its deviation, in text


@dataclass(frozen=True)
class Recommendations:
    """The top items of some users, one row an item, best first.

    Attributes:
        columns: lists of equal length by name, as in COLUMNS and perhaps STD; users and items by their original ids.
    """

    columns: dict[str, list[Any]]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One mapping a row."""
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))


class Writer(Protocol):
    """Writes recommendations as they come."""

    def write(self, block: Recommendations) -> None: ...

    def close(self) -> None: ...


class _Csv:
    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self.file = file
        self._write_rows([columns])

    def _write_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode())

    def write(self, block: Recommendations) -> None:
        self._write_rows(
            [f"{value:.{DECIMALS}f}" if isinstance(value, float) else value for value in row.values()]
            for row in block.rows()
        )

    def close(self) -> None:
        self.file.flush()


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in row.items()}


class _JsonLines:
    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self.file = file

    def write(self, block: Recommendations) -> None:
        for row in block.rows():
            self.file.write(json.dumps(_rounded(row), ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self.file.flush()


class _Json:
    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self.file, self.before = file, b"[\n  "

    def write(self, block: Recommendations) -> None:
        for row in block.rows():
            self.file.write(self.before + json.dumps(_rounded(row), ensure_ascii=False).encode())
            self.before = b",\n  "

    def close(self) -> None:
        self.file.write(b"\n]\n" if self.before.startswith(b",") else b"[]\n")
        self.file.flush()


class _Parquet:
    def __init__(self, file: IO[bytes], columns: Sequence[str], strings: tuple[bool, bool]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"rank": pa.int32(), "title": pa.string(), "genres": pa.string(), "prediction": pa.float32()}
        kinds[STD] = pa.float32()
        for name, text in zip(("user", "item"), strings, strict=True):
            kinds[name] = pa.string() if text else pa.int64()
        self.pa, self.schema = pa, pa.schema([(name, kinds[name]) for name in columns])
        self.writer = pq.ParquetWriter(file, self.schema)

    def write(self, block: Recommendations) -> None:
        columns = dict(block.columns)
        if self.schema.field("user").type == self.pa.string():
            columns["user"] = [str(user) for user in columns["user"]]
        self.writer.write_table(self.pa.table(columns, schema=self.schema))

    def close(self) -> None:
        self.writer.close()


class _Table:
    """One table for each user, as people read it."""

    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self.file = file
        self.header = ("", "item", "title", "genres", "rating", *(["±"] if STD in columns else []))

    def write(self, block: Recommendations) -> None:
        from mfcli.cli.console import table_text

        for user, rows in itertools.groupby(block.rows(), key=lambda row: row["user"]):
            cells = [
                (
                    *(r["rank"], r["item"], r["title"], r["genres"].replace("|", ", ")),
                    *(f"{r[name]:.2f}" for name in ("prediction", STD) if name in r),
                )
                for r in rows
            ]
            self.file.write(table_text(f"user {user}", self.header, cells, numeric=(0, 1, 4, 5)).encode())

    def close(self) -> None:
        self.file.flush()


def open_writer(
    kind: str, file: IO[bytes], *, text_users: bool, text_items: bool, columns: Sequence[str] = COLUMNS
) -> Writer:
    """A writer of that format.

    Args:
        kind: table, csv, jsonl, json or parquet.
        file: where to.
        text_users, text_items: whether ids are strings rather than integers, for parquet's schema.
        columns: of what is to be written: COLUMNS, or STD too.
    """
    if kind == "parquet":
        return _Parquet(file, columns, (text_users, text_items))
    writers: dict[str, type[_Csv] | type[_JsonLines] | type[_Json] | type[_Table]]
    writers = {"csv": _Csv, "jsonl": _JsonLines, "json": _Json, "table": _Table}
    return writers[kind](file, columns)
