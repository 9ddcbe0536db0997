"""Features as numbers: the matrix, and the rows of those who come later."""

import io
import string

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.data.attributes import Attribute, Described
from mfcli.data.describe import describe
from mfcli.data.features import Features, to_arrow
from mfcli.data.sheet import Sheet
from mfcli.errors import DataError

FILMS = Sheet(
    ("title", "genres", "pages"),
    {
        "1": ("A (1990)", "Comedy|Drama|War", "1.5"),
        "2": ("B (1990)", "Drama", "1.5"),
        "3": ("C (2001)", "War|Comedy", ""),
        "4": ("D", "", "2"),
        "6": ("E (2001)", "Drama|Western", "2"),
    },
    {"title": "title"},
    {"title": "title", "genres": "genres"},
)


def through_parquet(described: Described) -> Features | None:
    """What becomes of features in a file."""
    table = pa.table({"index": range(len(described.features))}).append_column(*to_arrow(described))
    file = io.BytesIO()
    pq.write_table(table, file)
    return Features.from_table(pq.ParquetFile(file).read())


@pytest.fixture(scope="module")
def films() -> Features:
    made = through_parquet(describe(FILMS, ["1", "2", "3", "4", "5", "6"]))
    assert made is not None
    return made


def test_a_rows_features_of_one_attribute_have_length_one(films: Features) -> None:
    names = ["genres=Comedy", "genres=Drama", "genres=War", "pages=1.5", "pages=2", "year=1990-2000", "year=2001"]
    assert films.names == names
    assert films.matrix.dtype == np.float32
    third, half = 3**-0.5, 2**-0.5
    assert films.matrix.toarray().round(6).tolist() == np.float32([
        [third, third, third, 1, 0, 1, 0],
        [0, 1, 0, 1, 0, 1, 0],
        [half, 0, half, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 1, 0, 1],
    ]).round(6).tolist()  # fmt: skip


def test_somebody_new_is_told_in_the_same_words(films: Features) -> None:
    row = films.encode({"Genres": "War|Drama", "year": "1995"})
    assert row.dtype == np.float32
    assert dict(zip(films.names, row.tolist(), strict=True)) == pytest.approx(
        dict.fromkeys(films.names, 0.0) | {"genres=Drama": 2**-0.5, "genres=War": 2**-0.5, "year=1990-2000": 1.0}
    )
    assert (films.encode({"title": "New (1890)"}) == films.encode({"year": "1990"})).all()  # below the first bin
    assert not films.encode({}).any()


def test_what_is_unknown_adds_nothing_and_can_be_told(films: Features) -> None:
    attributes = {"genres": "War|Opera", "pages": "7", "year": "long ago"}
    assert films.encode(attributes).tolist() == films.encode({"genres": "War"}).tolist()
    assert films.unknown(attributes) == ["genres=Opera", "pages=7", "year=long ago"]
    assert films.unknown({"genres": "War", "pages": "", "year": ""}) == []
    assert films.unknown({"pages": "NaN"}) == ["pages=NaN"]
    with pytest.raises(DataError, match="there is no attribute 'colour': features were made of genres, pages, year"):
        films.encode({"colour": "red"})
    with pytest.raises(DataError, match="'colour'"):
        films.unknown({"colour": "red"})


def test_where_nothing_is_known_there_are_none() -> None:
    assert through_parquet(describe(Sheet(), ["1", "2"])) is None


@pytest.mark.parametrize(
    "attributes",
    [
        b"",
        b"[]x",
        b"{}",
        b"[1]",
        b'[{"name": "x"}]',
        b'[{"name": "x", "source": "x", "kind": "colour", "values": ["a"], "bins": []}]',
        b'[{"name": "x", "source": "x", "kind": "category", "values": ["b"], "bins": []}]',
        b'[{"name": "x", "source": "x", "kind": "number", "values": ["a"], "bins": [[1]]}]',
    ],
)
def test_damage_is_noticed(attributes: bytes) -> None:
    field = pa.field("features", pa.list_(pa.string()), metadata={b"attributes": attributes})
    table = pa.table([pa.array([["x=a"]], field.type)], schema=pa.schema([field]))
    with pytest.raises(ValueError, match=r"."):
        Features.from_table(table)
    with pytest.raises(ValueError, match="Expecting value"):
        Features.from_table(pa.table({"features": [["x=a"]]}))


words = st.text(string.ascii_letters + "äß =,;\"'", min_size=1, max_size=8).map(str.strip).filter(bool)
cells = st.one_of(
    st.lists(words, max_size=4).map("|".join),
    st.integers(-1000, 1000).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.dates().map(str),
    st.just(""),
)


@settings(max_examples=200, deadline=None)
@given(
    st.data(),
    st.integers(1, 60),
    st.sampled_from([None, "category", "number", "decimal comma", "decimal comma or point", "date", "zip"]),
)
def test_every_row_is_encoded_as_it_was_read(data: st.DataObject, rows: int, kind: str | None) -> None:
    """The cells that a row came from give its row of the matrix again, whatever is in them."""
    pool = data.draw(st.lists(cells, min_size=1, max_size=40))
    columns = {
        name: data.draw(st.lists(st.sampled_from(pool), min_size=rows, max_size=rows)) for name in ("a", "b = c", "zip")
    }
    ids = [str(row) for row in range(rows)]
    sheet = Sheet(
        tuple(columns), dict(zip(ids, zip(*columns.values(), strict=True), strict=True)), {"a": kind} if kind else {}
    )
    described = describe(sheet, ids)
    features = through_parquet(described)
    if features is None:
        assert not any(described.features)
        return
    assert [described.features[row] != [] for row in range(rows)] == (np.diff(features.matrix.indptr) > 0).tolist()
    for row, got in enumerate(features.matrix.toarray()):
        known = {one.name: columns[one.source][row] for one in features.attributes}
        assert features.encode(known) == pytest.approx(got)
        names = [f"{one.name}={word}" for one in features.attributes for word in one.words(known[one.name])]
        assert set(names) - set(features.unknown(known)) == set(described.features[row])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of attribute is called 'colour'"):
        Attribute("x", "x", "colour")
