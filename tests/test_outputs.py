"""Checksums of a file and of its pieces: whatever is read is as it was written, and little is read of large files."""

import hashlib
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfcli import outputs
from mfcli.artifacts import Artifacts
from mfcli.config.recommend import RecommendConfig
from mfcli.errors import ArtifactError
from mfcli.models import file_rows
from mfcli.models.exposure import Exposure
from mfcli.models.file_rows import FileRows
from mfcli.outputs import CheckedFile, Output
from mfcli.recommend import recommend
from mfcli.stage_file import sealed, unsealed
from mfcli.typed import typed
from tests.test_recommend import blocks

CONTENT = random.Random(0).randbytes(1000)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "PIECE", 64)
    monkeypatch.setattr(file_rows, "AT_ONCE", 64)


@pytest.fixture
def put(small_pieces: None, tmp_path: Path) -> Callable[[bytes], Path]:
    def written(content: bytes) -> Path:
        (tmp_path / "file").write_bytes(content)
        return tmp_path / "file"

    return written


class Fault(Exception):
    """What is wrong with a file."""


def checked(path: Path, output: Output) -> CheckedFile:
    return CheckedFile(os.open(path, os.O_RDONLY), output, Fault)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
def test_what_is_recorded_of_a_file(put: Callable[[bytes], Path], size: int) -> None:
    content = CONTENT[:size]
    output = Output.of(put(content))
    pieces = [content[place : place + 64] for place in range(0, size, 64)] if size > 64 else []
    assert output == Output(
        hashlib.sha256(content).hexdigest(), size, 64, tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
    )
    assert typed(Output, json.loads(json.dumps(output.recorded()))).pieces == output.pieces
    assert ("pieces" in output.recorded()) == (size > 64)


@pytest.mark.parametrize("whole", [False, True], ids=["in pieces", "in one"])
@given(reads=st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 1100)), max_size=6))
def test_a_checked_file_reads_as_any_other(tmp_path_factory: Any, whole: bool, reads: list[tuple[int, int]]) -> None:
    path = tmp_path_factory.getbasetemp() / f"read-{whole}"
    path.write_bytes(CONTENT)
    pieces = tuple(hashlib.sha256(CONTENT[place : place + 64]).hexdigest() for place in range(0, 1000, 64))
    digest = hashlib.sha256(CONTENT).hexdigest()
    descriptor = os.open(path, os.O_RDONLY)
    ours = CheckedFile(descriptor, Output(digest, 1000) if whole else Output(digest, 1000, 64, pieces), Fault)
    plain = io.BytesIO(CONTENT)
    for place, size in reads:
        assert ours.seek(place) == plain.seek(place)
        assert ours.read(size) == plain.read(size)
        assert ours.tell() == place + len(CONTENT[place : place + size])
    assert ours.seek(-3, io.SEEK_END) == 997
    assert ours.read() == CONTENT[-3:]
    os.close(descriptor)


def test_damage_is_met_by_who_reads_the_piece_that_it_is_in(put: Callable[[bytes], Path]) -> None:
    output = Output.of(put(CONTENT))
    path = put(CONTENT[:200] + bytes([CONTENT[200] ^ 1]) + CONTENT[201:])
    file = checked(path, output)
    for place in (0, 300, 0):
        file.seek(place)
        assert file.read(50) == CONTENT[place : place + 50]
    for place, size in ((200, 1), (150, 100), (192, 64), (0, 1000)):
        file.seek(place)
        with pytest.raises(Fault, match=r" is not what stage.json says"):
            file.read(size)
        for good in (128, 0):
            file.seek(good)
            assert file.read(9) == CONTENT[good : good + 9], "and by nobody else"


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"\0", b""], ids=["shorter", "longer", "empty"])
def test_a_file_of_another_size_is_refused_at_once(put: Callable[[bytes], Path], content: bytes) -> None:
    output = Output.of(put(CONTENT))
    with pytest.raises(Fault, match=r" is not what stage.json says"):
        checked(put(content), output)


def test_a_file_that_is_cut_off_while_it_is_open_is_told(put: Callable[[bytes], Path]) -> None:
    output = Output.of(put(CONTENT))
    file = checked(put(CONTENT), output)
    os.truncate(put(CONTENT), 500)
    file.seek(480)
    with pytest.raises(Fault):
        file.read(100)


@pytest.mark.parametrize("pieces", [("a",), ("a", "b", "c")])
def test_a_record_of_other_pieces_than_the_size_has_is_refused(pieces: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="its pieces are not those of its size"):
        Output("x", 100, 64, pieces)


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "blocks"),
    [
        (np.array([3]), [0]),
        (np.array([[9, 9], [0, 9]]), [0, 2]),
        (-1, [9]),
        (slice(0, 0), []),
        (np.arange(40) % 20 == 13, [3, 8]),
        (slice(None), list(range(10))),
    ],
)
def test_rows_are_read_by_blocks_when_they_are_asked_for(small_pieces: None, asked: Any, blocks: list[int]) -> None:
    values, read = np.arange(160, dtype=np.float32).reshape(40, 4), []

    def fill(first: int, rows: np.ndarray) -> None:
        read.append(first // 4)
        rows[...] = values[first : first + len(rows)]

    rows = FileRows(values.shape, values.dtype, fill)
    assert (len(rows), rows.shape, rows.ndim, rows.dtype) == (40, (40, 4), 2, np.float32)
    assert read == []
    for _ in range(2):
        np.testing.assert_array_equal(rows[asked], values[asked])
        assert read == blocks, "each block once"
    np.testing.assert_array_equal(np.asarray(rows), values)
    assert sorted(read) == list(range(10))


# ── a run ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run(small_pieces: None, artifacts: Path) -> Path:
    """A trained run's directory whose records know small pieces of its files."""
    folder = artifacts / "runs" / "default"
    reseal(folder / "data")
    reseal(folder)
    return folder


def reseal(stage: Path) -> None:
    """Let a stage's record say what its files are now."""
    record = stage / "stage.json"
    body = unsealed(record.read_bytes())
    body["outputs"] = {name: Output.of(stage / name).recorded() for name in body["outputs"]}
    del body["format"]
    record.write_bytes(sealed(body))


def test_a_file_of_another_version_is_told_as_that_and_not_as_damage(artifacts: Path) -> None:
    run = artifacts / "runs" / "default"
    content = (run / "model.safetensors").read_bytes()
    older = content.replace(b'\\"format\\": \\"2\\"', b'\\"format\\": \\"1\\"')
    assert older != content
    (run / "model.safetensors").write_bytes(older)
    reseal(run)
    with pytest.raises(ArtifactError, match=r"model.safetensors is of another version of mfcli: run `mfcli train "):
        lists(run, user=("1",))


def lists(folder: Path, **options: Any) -> list[dict[str, Any]]:
    config = RecommendConfig(dir=folder.parent.parent, **options)
    return [{name: list(values) for name, values in block.items()} for block in blocks(config)]


def place_of(folder: Path, user: int) -> int:
    """Where the vector of a row of a user begins in the file of the exposure."""
    content = (folder / "exposure.safetensors").read_bytes()
    vectors = np.asarray(Exposure.from_bytes(content).vectors.users)
    return content.index(vectors[user].tobytes())


def test_pieces_change_nothing(run: Path, finished: Path) -> None:
    for options in ({"user": ("1", "7")}, {"all_users": True}, {"all_users": True, "rank_by": "rating"}):
        assert lists(run, **options) == lists(finished / "runs" / "default", **options)


def test_another_users_damaged_vector_is_not_met_but_ones_own_is(run: Path) -> None:
    before = lists(run, user=("1",))
    last = Artifacts(run.parent.parent).run("default").record().body["outputs"]
    assert len(last["exposure.safetensors"]["pieces"]) > 10
    path, users = run / "exposure.safetensors", lists(run, all_users=True)[0]["user"]
    place, content = place_of(run, len(set(users)) - 1), bytearray(path.read_bytes())
    content[place + 3] ^= 1
    path.write_bytes(content)
    assert lists(run, user=("1",)) == before
    out = io.BytesIO()
    for options in ({"user": ("1", str(users[-1]))}, {"all_users": True}):
        with pytest.raises(ArtifactError, match=r"exposure.safetensors is not what stage.json says: run `mfcli train"):
            recommend(RecommendConfig(dir=run.parent.parent, format="csv", **options), out)
    assert out.getvalue() == b"", "nothing is told before all is read"


def test_a_vector_that_is_no_number_is_met_when_it_is_read(run: Path) -> None:
    path, record = run / "exposure.safetensors", run / "stage.json"
    content, place = bytearray(path.read_bytes()), place_of(run, 0)
    content[place : place + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    body = unsealed(record.read_bytes())
    body["outputs"][path.name] = Output.of(path).recorded()
    del body["format"]
    record.write_bytes(sealed(body))
    first = lists(run, all_users=True, rank_by="rating")[0]["user"][0]
    with pytest.raises(ArtifactError, match=r"safetensors is damaged: user_vectors has numbers that are not finite"):
        lists(run, user=(str(first),))
