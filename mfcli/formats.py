"""Recommendations as they are written: table, csv, jsonl, json or parquet, block after block."""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

COLUMNS = ("user", "rank", "item", "title", "genres", "prediction")
DECIMALS = 4  # of a prediction in text


@dataclass(frozen=True)
class Recommendations:
    """The top items of some users, one row an item, best first.

    Attributes:
        columns: lists of equal length by name, as in COLUMNS; users and items by their original ids.
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
    def __init__(self, file: IO[bytes]) -> None:
        self.text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self.csv = csv.writer(self.text, lineterminator="\n")
        self.csv.writerow(COLUMNS)

    def write(self, block: Recommendations) -> None:
        for row in block.rows():
            self.csv.writerow([*list(row.values())[:-1], f"{row['prediction']:.{DECIMALS}f}"])

    def close(self) -> None:
        self.text.flush()
        self.text.detach()


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"prediction": round(row["prediction"], DECIMALS)}


class _JsonLines:
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, block: Recommendations) -> None:
        for row in block.rows():
            self.file.write(json.dumps(_rounded(row), ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self.file.flush()


class _Json:
    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.before = file, b"[\n  "

    def write(self, block: Recommendations) -> None:
        for row in block.rows():
            self.file.write(self.before + json.dumps(_rounded(row), ensure_ascii=False).encode())
            self.before = b",\n  "

    def close(self) -> None:
        self.file.write(b"\n]\n" if self.before.startswith(b",") else b"[]\n")
        self.file.flush()


class _Parquet:
    def __init__(self, file: IO[bytes], strings: tuple[bool, bool]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"rank": pa.int32(), "title": pa.string(), "genres": pa.string(), "prediction": pa.float32()}
        for name, text in zip(("user", "item"), strings, strict=True):
            kinds[name] = pa.string() if text else pa.int64()
        self.pa, self.schema = pa, pa.schema([(name, kinds[name]) for name in COLUMNS])
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

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, block: Recommendations) -> None:
        from mfcli.console import table_text

        for user, rows in itertools.groupby(block.rows(), key=lambda row: row["user"]):
            cells = [
                (r["rank"], r["item"], r["title"], r["genres"].replace("|", ", "), f"{r['prediction']:.2f}")
                for r in rows
            ]
            header = ("", "item", "title", "genres", "rating")
            self.file.write(table_text(f"user {user}", header, cells, numeric=(0, 1, 4)).encode())

    def close(self) -> None:
        self.file.flush()


def open_writer(kind: str, file: IO[bytes], *, text_users: bool, text_items: bool) -> Writer:
    """A writer of that format.

    Args:
        kind: table, csv, jsonl, json or parquet.
        file: where to.
        text_users, text_items: whether ids are strings rather than integers, for parquet's schema.
    """
    if kind == "parquet":
        return _Parquet(file, (text_users, text_items))
    writers: dict[str, type[_Csv] | type[_JsonLines] | type[_Json] | type[_Table]]
    writers = {"csv": _Csv, "jsonl": _JsonLines, "json": _Json, "table": _Table}
    return writers[kind](file)
