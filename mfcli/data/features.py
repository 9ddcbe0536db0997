"""Features as numbers: a sparse matrix with a row for every user, or every item, and rows for those to come."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Int64s
from mfcli.data.attributes import Attribute, Described
from mfcli.data.tables import lists_to_arrow
from mfcli.errors import DataError
from mfcli.typed import typed

ATTRIBUTES = b"attributes"  # the key of the column's metadata


@dataclass(frozen=True, eq=False)
class Features:
    """The features of all users, or of all items.

    A feature is 1 where a row has it, and the features that a row has of one attribute are scaled to length 1: a film
    of three genres has 1/√3 of each.

    Attributes:
        matrix: (rows, f) float32, a ``scipy.sparse.csr_matrix``; a row of which nothing is known is empty.
        names: of the f features.
        attributes: what they are values of, and how to tell those of somebody new.
    """

    matrix: Any
    names: list[str]
    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def from_table(cls, table: Any) -> "Features | None":
        """Those in the pyarrow table of the users or items, or None if it has none.

        Raises:
            ValueError: its column ``features`` is none that :func:`to_arrow` made.
        """
        attributes = _from_json((table.schema.field("features").metadata or {}).get(ATTRIBUTES, b""))
        names = [name for attribute in attributes for name in attribute.features]
        sizes, columns = _indices(table["features"], names)
        if not names:
            return None
        blocks = np.repeat(np.arange(len(attributes)), [len(one.values) for one in attributes])
        return cls(_matrix(sizes, columns, blocks), names, attributes)

    def encode(self, attributes: Mapping[str, str], otherwise: npt.NDArray[Any] | None = None) -> Float32s:
        """(f,) float32: the row of somebody or something new. A value that is no feature adds nothing.

        Args:
            attributes: name -> cell, as in the files that the features were made of: ``{"genres": "Drama|War"}``. The
                year of a title is found under ``year`` and in ``title``.
            otherwise: (f,) features to take for attributes that are not given; None for none.

        Raises:
            DataError: there is no such attribute.
        """
        row = np.zeros(len(self.names), np.float32) if otherwise is None else otherwise.astype(np.float32)
        places = {name: place for place, name in enumerate(self.names)}
        for attribute, words in self._said(attributes):
            row[[places[name] for name in attribute.features]] = 0
            known = [places[f"{attribute.name}={word}"] for word in words if word in attribute.values]
            row[known] = 1 / np.sqrt(max(len(known), 1))
        return row

    def unknown(self, attributes: Mapping[str, str]) -> list[str]:
        """What of these attributes is no feature: ``["occupation=spy"]``. Raises DataError as :meth:`encode` does."""
        said = zip(self._said(attributes), attributes.values(), strict=True)
        return [
            f"{attribute.name}={word}"
            for (attribute, words), value in said
            for word in words or filter(None, [value])
            if word not in attribute.values
        ]

    def _said(self, attributes: Mapping[str, str]) -> list[tuple[Attribute, list[str]]]:
        """Attributes by their names, in any case of letters, and what is said of them in words."""
        named = {name.lower(): one for one in self.attributes for name in (one.source, one.name)}
        for name in attributes:
            if name.lower() not in named:
                known = ", ".join(one.name for one in self.attributes)
                raise DataError(f"there is no attribute '{name}': features were made of {known}")
        return [(named[name.lower()], named[name.lower()].words(cell)) for name, cell in attributes.items()]


def _indices(column: Any, names: list[str]) -> tuple[Int64s, Int64s]:
    """How many features every row has, and which ones, row by row. Raises ValueError if one has no name."""
    lists = column.combine_chunks()
    coded = lists.flatten().dictionary_encode()  # not pyarrow.compute.index_in, whose value set would import pandas
    places = {name: place for place, name in enumerate(names)}
    known = np.array([places.get(word, -1) for word in coded.dictionary.to_pylist()], np.int64)
    if (known < 0).any():
        raise ValueError("a row has a feature that no attribute has")
    starts = np.from_dlpack(lists.offsets).astype(np.int64)
    return starts[1:] - starts[:-1], known[np.from_dlpack(coded.indices)]


def _matrix(sizes: Int64s, columns: Int64s, blocks: Int64s) -> Any:
    """The matrix whose rows have so many of ``columns`` each, one after the other; ``blocks`` are their attributes."""
    from scipy.sparse import csr_matrix

    rows = np.repeat(np.arange(len(sizes)), sizes)
    n_blocks = int(blocks[-1]) + 1
    _, group, count = np.unique(rows * n_blocks + blocks[columns], return_inverse=True, return_counts=True)
    values = (1 / np.sqrt(count[group])).astype(np.float32)
    return csr_matrix((values, columns, np.append(0, np.cumsum(sizes))), shape=(len(sizes), len(blocks)))


def to_arrow(described: Described) -> tuple[Any, Any]:
    """The field and the column ``features``: list<string>; the field's metadata are the attributes, as JSON."""
    import pyarrow as pa

    kind = pa.list_(pa.string())
    attributes = json.dumps([asdict(one) for one in described.attributes])
    return pa.field("features", kind, metadata={ATTRIBUTES: attributes}), lists_to_arrow(described.features, kind)


def _from_json(text: bytes) -> tuple[Attribute, ...]:
    """The attributes that :func:`to_arrow` kept. Raises ValueError."""
    try:
        return cast(tuple[Attribute, ...], typed(tuple[Attribute, ...], json.loads(text), "attributes"))
    except RecursionError:
        raise ValueError("its attributes are nested too deep") from None
