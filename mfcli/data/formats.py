"""Tables as they are written, block after block: for people, as csv, jsonl, json or parquet.

To add a format, write a Writer and give it a line in FORMATS.
"""

import csv
import io
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Literal

import numpy as np

from mfcli.data.tables import to_arrow
from mfcli.terminal import OBEYED, is_terminal, table_text

DECIMALS = 4  # of a float in text
DECIMALS_SHOWN = 2  # of a float in a table for people
DIGITS = 9  # of a float64 in text, not counting leading zeros: its size may be any
DIGITS_SHOWN = 5
INDENT = "  "  # of what stands below a cell's text
BARS = "▁▂▃▄▅▆▇█"

Kind = Literal["int32", "int64", "float32", "float64", "string"]

Values = Any
"""A list, a NumPy array of numbers or a pyarrow array."""

Block = Mapping[str, Values]
"""Some rows of a table: the values of each column by its name, all of one length."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: in every format but the table for people.
        kind: of its values.
        heading: above the column in the table for people.
        gives_way: whether its texts are wrapped where a terminal is narrow.
        several: whether a text is several values separated by ``|``.
        below: whether the table for people has these values, a line each, below what first gives way in their row.
        in_title: whether it makes one table for people of rows with the same value, which stands in the title.
        names: value -> what the title calls it beside the value itself, if anything.
        bar: whether the table for people draws its numbers as bars, with those of the columns beside it.
    """

    name: str
    kind: Kind
    heading: str
    gives_way: bool = False
    several: bool = False
    below: bool = False
    in_title: bool = False
    names: Mapping[Any, str] = field(default_factory=dict)
    bar: bool = False

    def shown(self, values: Values) -> list[Any]:
        """Values as the table for people has them."""
        if self.several:
            return [value.replace("|", ", ") for value in values]
        return self._texts(values, f"%.{DECIMALS_SHOWN}f", f"%#.{DIGITS_SHOWN}g")

    def titled(self, value: Any) -> str:
        """A value as the title of a table has it."""
        name = self.names.get(value)
        return f"{self.heading} {value}: {name}" if name else f"{self.heading} {value}"

    def texts(self, values: Values) -> list[Any]:
        """Values as csv has them: floats as texts."""
        return self._texts(values, f"%.{DECIMALS}f", f"%.{DIGITS}g")

    def rounded(self, values: Values) -> list[Any]:
        """Values as JSON has them: the numbers that csv has."""
        return list(map(float, self.texts(values))) if self.kind in ("float32", "float64") else listed(values)

    def _texts(self, values: Values, fixed: str, precise: str) -> list[Any]:
        """Floats as texts, by one format or the other; anything else as it is."""
        form = {"float32": fixed, "float64": precise}.get(self.kind)
        return listed(values) if form is None else [form % value for value in listed(values)]


def listed(values: Values) -> list[Any]:
    """Values as Python has them."""
    made: list[Any] = values if isinstance(values, list) else values.tolist()
    return made


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

    def abandon(self) -> None:  # noqa: B027 - most have nothing to do
        """Write nothing more: what has come is not all of it."""


class CsvWriter(Writer):
    """A header, then a line a row; as RFC 4180 has it but for the line ends."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        super().__init__(file, columns)
        self._write_lines([[column.name for column in columns]])

    def write(self, block: Block) -> None:
        values = [block[column.name] for column in self.columns]
        precise = any(column.kind == "float64" for column in self.columns)
        if precise or any(isinstance(one, list) for one in values) or not self._write_arrays(values):
            texts = (column.texts(one) for column, one in zip(self.columns, values, strict=True))
            self._write_lines(zip(*texts, strict=True))

    def _write_lines(self, lines: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(lines)
        self.file.write(text.getvalue().encode())

    def _write_arrays(self, values: list[Any]) -> bool:
        """Write arrays in less than half the time: a million rows are worth that. False if a text needs quotes."""
        import pyarrow as pa
        from pyarrow.csv import WriteOptions, write_csv

        names = [column.name for column in self.columns]
        table = pa.Table.from_arrays([_decimal(to_arrow(one)) for one in values], names)
        lines = io.BytesIO()
        try:
            write_csv(table, lines, WriteOptions(include_header=False, quoting_style="none"))
        except pa.ArrowInvalid:
            return False
        self.file.write(lines.getvalue())
        return True


def _decimal(values: Any) -> Any:
    """A pyarrow array of floats as decimal numbers, any other as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(values.type):
        return values
    return pc.round(values.cast(pa.float64()), DECIMALS).cast(pa.decimal128(38, DECIMALS))


class JsonLinesWriter(Writer):
    """A JSON object a line, one a row."""

    def write(self, block: Block) -> None:
        self.file.writelines(f"{text}\n".encode() for text in self._objects(block))

    def _objects(self, block: Block) -> Iterator[str]:
        names = [column.name for column in self.columns]
        columns = (column.rounded(block[column.name]) for column in self.columns)
        for values in zip(*columns, strict=True):
            text = json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)
            # JSON can say the same by numbers, and a terminal then obeys none of it.
            yield OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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
        self.schema = pa.schema([(column.name, getattr(pa, column.kind)()) for column in columns])
        self.sink = _Sink(file)
        self.parquet = pq.ParquetWriter(self.sink, self.schema)

    def write(self, block: Block) -> None:
        import pyarrow as pa

        arrays = [to_arrow(_typed(block[column.name], column.kind)) for column in self.columns]
        self.parquet.write_table(pa.Table.from_arrays(arrays, schema=self.schema))

    def close(self) -> None:
        self.parquet.close()

    def abandon(self) -> None:
        self.sink.file = None  # whatever happens to pyarrow's writer, it ends its file
        self.parquet.close()


class _Sink:
    """A file as pyarrow writes it. Without one, what is written goes nowhere."""

    closed = False

    def __init__(self, file: IO[bytes] | None) -> None:
        self.file = file

    def write(self, content: bytes) -> None:
        if self.file is not None:
            self.file.write(content)

    def flush(self) -> None:
        """Whoever owns the file does that."""


def _typed(values: Values, kind: Kind) -> Any:
    """A column's values as texts, or as a NumPy array of its numbers."""
    return list(map(str, listed(values))) if kind == "string" else np.asarray(values, kind)


class TableWriter(Writer):
    """A table for people for every value of the columns that are its title."""

    def write(self, block: Block) -> None:
        titles = [column for column in self.columns if column.in_title]
        columns = [column for column in self.columns if not (column.in_title or column.below)]
        groups = [list(group) for _, group in itertools.groupby(columns, lambda column: column.bar or column.name)]
        headings: list[Any] = [" to ".join(dict.fromkeys((group[0].heading, group[-1].heading))) for group in groups]
        numeric = [place for place, group in enumerate(groups) if not group[0].gives_way]
        texts = [place for place, group in enumerate(groups) if group[0].gives_way]
        shown = [
            bars([block[column.name] for column in group]) if group[0].bar else group[0].shown(block[group[0].name])
            for group in groups
        ]
        for column in self.columns:
            if column.below:
                at = texts[0]
                headings[at] = [headings[at], f"{INDENT}{column.heading}"] if any(shown[at]) else column.heading
                shown[at] = [_with_below(*both) for both in zip(shown[at], listed(block[column.name]), strict=True)]
        rows = list(zip(*shown, strict=True))
        titled = list(zip(*(listed(block[column.name]) for column in titles), strict=True)) or [()] * len(rows)
        for title, mine in itertools.groupby(zip(titled, rows, strict=True), key=lambda one: one[0]):
            text = table_text(
                ", ".join(column.titled(value) for column, value in zip(titles, title, strict=True)),
                headings,
                [row for _, row in mine],
                numeric=numeric,
                spare=texts[1:2],
                elsewhere="--format csv",
                terminal=is_terminal(self.file),
            )
            self.file.write(text.encode())


def _with_below(text: str, values: str) -> list[str]:
    """A cell's text, if any, and below it, a line each, the values that ``|`` separates."""
    below = [value for value in values.split("|") if value]
    return [text, *(f"{INDENT}{value}" for value in below)] if text else below


def bars(columns: Sequence[Values]) -> list[str]:
    """A picture of each row of numbers, none below 0: a bar a number, the largest as high as a line."""
    table = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    heights = np.rint(table / table.max(1, keepdims=True) * (len(BARS) - 1)).astype(int)
    return ["".join(BARS[height] for height in row) for row in heights]


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
"""Every format by the name that ``--format`` gives it; the choices in config/ are these (a test compares them)."""
