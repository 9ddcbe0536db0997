"""Tables as they are written, block after block: for people, as csv, jsonl, json or parquet.

To add a format, write a Writer and give it a line in FORMATS.
"""

import csv
import io
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

from mfcli.terminal import is_terminal, table_text

DECIMALS = 4  # of a float in text
DECIMALS_SHOWN = 2  # of a float in a table for people

Kind = Literal["int32", "int64", "float32", "string"]

Block = Mapping[str, Sequence[Any]]
"""Some rows of a table: the values of each column by its name, all of one length."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: in every format but the table for people.
        kind: of its values.
        heading: above the column in the table for people.
        gives_way: whether its texts are cut where a terminal is narrow.
        several: whether a text is several values separated by ``|``.
    """

    name: str
    kind: Kind
    heading: str
    gives_way: bool = False
    several: bool = False

    def shown(self, value: Any) -> Any:
        """A value as the table for people has it."""
        return value.replace("|", ", ") if self.several else _fixed(value, DECIMALS_SHOWN)


class Writer(ABC):
    """Writes blocks of a table to a file, as they come. The file is the caller's to close."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        self.file, self.columns = file, columns

    @abstractmethod
    def write(self, block: Block) -> None:
        """Write some more rows."""

    def close(self) -> None:
        """Write what is due at the end."""
        self.file.flush()


class CsvWriter(Writer):
    """A header, then a line a row; as RFC 4180 has it but for the line ends."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        super().__init__(file, columns)
        self._write_lines([[column.name for column in columns]])

    def write(self, block: Block) -> None:
        texts = ([_fixed(value, DECIMALS) for value in block[column.name]] for column in self.columns)
        self._write_lines(zip(*texts, strict=True))

    def _write_lines(self, lines: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(lines)
        self.file.write(text.getvalue().encode())


class JsonLinesWriter(Writer):
    """A JSON object a line, one a row."""

    def write(self, block: Block) -> None:
        self.file.writelines(f"{text}\n".encode() for text in self._objects(block))

    def _objects(self, block: Block) -> Iterator[str]:
        names = [column.name for column in self.columns]
        for values in zip(*(block[name] for name in names), strict=True):
            rounded = (round(value, DECIMALS) if isinstance(value, float) else value for value in values)
            yield json.dumps(dict(zip(names, rounded, strict=True)), ensure_ascii=False)


class JsonWriter(JsonLinesWriter):
    """A JSON list of these objects."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        super().__init__(file, columns)
        self.empty = True

    def write(self, block: Block) -> None:
        for text in self._objects(block):
            self.file.write(f"{'[' if self.empty else ','}\n  {text}".encode())
            self.empty = False

    def close(self) -> None:
        self.file.write(b"[]\n" if self.empty else b"\n]\n")
        super().close()


class ParquetWriter(Writer):
    """A parquet file, whose columns have the kinds declared."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(file, columns)
        kinds = {"int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32(), "string": pa.string()}
        self.schema = pa.schema([(column.name, kinds[column.kind]) for column in columns])
        self.parquet = pq.ParquetWriter(file, self.schema)

    def write(self, block: Block) -> None:
        import pyarrow as pa

        texts = {column.name: map(str, block[column.name]) for column in self.columns if column.kind == "string"}
        self.parquet.write_table(pa.table({**block, **{n: list(t) for n, t in texts.items()}}, schema=self.schema))

    def close(self) -> None:
        self.parquet.close()


class TableWriter(Writer):
    """A table for people for every value of the first column, which is its title."""

    def write(self, block: Block) -> None:
        titles, columns = self.columns[0], self.columns[1:]
        numeric = [place for place, column in enumerate(columns) if not column.gives_way]
        rows = zip(*(block[column.name] for column in self.columns), strict=True)
        for title, mine in itertools.groupby(rows, key=lambda row: row[0]):
            text = table_text(
                f"{titles.name} {title}",
                [column.heading for column in columns],
                [[column.shown(cell) for column, cell in zip(columns, row[1:], strict=True)] for row in mine],
                numeric=numeric,
                terminal=is_terminal(self.file),
            )
            self.file.write(text.encode())


def _fixed(value: Any, decimals: int) -> Any:
    """A float as text with so many decimals, anything else as it is."""
    return f"{value:.{decimals}f}" if isinstance(value, float) else value


@dataclass(frozen=True)
class Format:
    """A way of writing a table.

    Attributes:
        writer: writes it.
        ending: of a file that holds it.
        text: whether a terminal can show it.
    """

    writer: type[Writer]
    ending: str
    text: bool = True


FORMATS = {
    "table": Format(TableWriter, ".txt"),
    "csv": Format(CsvWriter, ".csv"),
    "jsonl": Format(JsonLinesWriter, ".jsonl"),
    "json": Format(JsonWriter, ".json"),
    "parquet": Format(ParquetWriter, ".parquet", text=False),
}
"""Every format by the name that ``--format`` gives it; the choices in config.py are these (a test compares them)."""
