"""Files in any container, recognized by what is in them; and what is known but not read."""

import bz2
import errno
import gzip
import io
import lzma
import os
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from mfcli.data.files import RATINGS_FILES, Source, find_source, find_sources
from mfcli.data.form import Reading
from mfcli.data.readers import read_ratings
from mfcli.errors import DataError
from tests.conftest import Runner
from tests.inputs import zipped

TEXT = b"user,item,rating\n1,10,4\n1,20,5\n2,10,3\n"


def put(path: Path, content: bytes = TEXT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def content(source: Source) -> bytes:
    with source.open() as file:
        return file.read()


CONTAINERS = {
    "gzip": gzip.compress(TEXT),
    "gzip of two members": gzip.compress(TEXT[:20]) + gzip.compress(TEXT[20:]),
    "bz2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "zstd": pa.compress(TEXT, codec="zstd", asbytes=True),
    "zip": zipped({"r.csv": TEXT}),
    "zip with a folder and chaff": zipped({"a/": b"", "a/r.csv": TEXT, "__MACOSX/a/._r.csv": b"x", ".DS_Store": b"x"}),
    "zip of a gzip": zipped({"r.csv.gz": gzip.compress(TEXT)}),
    "gzip of a zip": gzip.compress(zipped({"r.csv": TEXT})),
    "zip of a whole data set": zipped({"ml/README.txt": b"x", "ml/movies.csv": b"x", "ml/ratings.csv": TEXT}),
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("name", ["r.csv", "r.gz", "r"])
def test_a_container_is_known_by_its_content_whatever_it_is_called(container: bytes, name: str, tmp_path: Path) -> None:
    source = find_source(put(tmp_path / name, container), RATINGS_FILES)
    assert source.kind == "text"
    assert content(source) == content(source) == TEXT
    assert read_ratings(source).ratings.tolist() == [4.0, 5.0, 3.0]


def test_plain_text_may_be_called_like_a_container(tmp_path: Path) -> None:
    for name in ("r.gz", "r.zip", "r.parquet", "r.xlsx"):
        assert read_ratings(find_source(put(tmp_path / name))).ratings.tolist() == [4.0, 5.0, 3.0]


TABLE = pa.table({"userId": [1, 1, 2], "movieId": [10, 20, 10], "rating": [4.0, 5.0, 3.0]})


@pytest.mark.parametrize("kind", ["parquet", "feather", "gzipped parquet", "JSON lines", "JSON"])
def test_files_that_are_no_text(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    if "parquet" in kind:
        pq.write_table(TABLE, path)
        if kind.startswith("gzipped"):
            path.write_bytes(gzip.compress(path.read_bytes()))
    elif "feather" in kind:
        feather.write_feather(TABLE, path, compression="uncompressed")
    else:
        rows = [
            f'{{"userId": {u}, "movieId": {i}, "rating": {r}}}'
            for u, i, r in zip(*TABLE.to_pydict().values(), strict=True)
        ]
        path.write_text("\n".join(rows) if kind == "JSON lines" else f"[{', '.join(rows)}]")
    table = read_ratings(find_source(path))
    assert table.ids.users[table.users].tolist() == [1, 1, 2]
    assert table.ids.items[table.items].tolist() == [10, 20, 10]
    assert table.ratings.tolist() == [4.0, 5.0, 3.0]
    assert table.origin.columns == {"user": "userId", "item": "movieId", "rating": "rating"}


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (zipped({"xl/workbook.xml": b"x", "[Content_Types].xml": b"x"}), "this is an Excel file: save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an Excel file: save it as CSV"),
        (b"SQLite format 3\0", "this is an SQLite database: export the table as CSV"),
        (b"\x80\x04\x95\x10", "this is a Python pickle, which is never opened"),
        (b"\x80\x03}q\0", "this is a Python pickle, which is never opened"),
        (b"ORC\x11\0\0", "this is an ORC file"),
        (b"\xff\xff\xff\xff\x10\0", "this is an Arrow stream"),
        (b"\x1f\x9d\x90u", "this is a file of the old compress"),
        (b"X\n\0\0\0\3", "this is an R data file"),
        (b"\n <?xml version='1.0'?><Error/>", "this is an XML file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "this is a pointer of Git LFS, not the file: `git lfs pull`"),
        (b"-- MySQL dump 10.13\n", "this is a dump of a database: export the table as CSV"),
        (zipped({"mimetype": b"x", "META-INF/manifest.xml": b"x"}), "this is a LibreOffice file: save it as CSV"),
        (zipped({"user.npy": b"x", "item.npy": b"x"}), "this is a NumPy archive: export it as CSV"),
        (b"[1, 2]\n[3, 4]\n", "not a json file that can be read"),
        (b'{"user": 1}\n{"user": 2\n', "line 2: .*JSON has a list of objects, or an object a line"),
        (b"{'user': 1}\n", "line 1: .*JSON has a list of objects, or an object a line"),
        (b"<!DOCTYPE html><title>Log in</title>", "this is a web page: was the download behind a login?"),
        (tarred(), "this is a tar archive: unpack it"),
        (gzip.compress(tarred()), "this is a tar archive: unpack it"),
        (zipped({"a.csv": TEXT, "b.csv": TEXT}), "2 files are in it .a.csv, b.csv.: unpack it, and name the one"),
        (zipped({"a/ratings.csv": TEXT, "b/ratings.csv": TEXT}), "2 files are in it"),
        (zipped({}), "there is no file to read in it"),
        (gzip.compress(gzip.compress(gzip.compress(gzip.compress(TEXT)))), "too many archives within one another"),
        (zipped({"r.csv": TEXT})[:-30], "not a zip that can be read .*: is it cut off"),
        (gzip.compress(TEXT)[:-9], "Truncated.*: is the file cut off or damaged"),
        (lzma.compress(TEXT)[:-9], "ended before"),
        (bz2.compress(TEXT)[:-9], "Truncated"),
        (b"FEA1\0\0\0\0 and more", "this is a Feather file of version 1: write it as version 2"),
        (b"1,2\0,3\n", "there are NUL characters in it"),
        (b"[1, 2]", "JSON, but neither a list of objects nor an object a line"),
        (b"[{", "not a json file that can be read"),
        (b"ARROW1 and more", "not a feather file that can be read"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(held: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_ratings(find_source(put(tmp_path / "r.csv", held), RATINGS_FILES))
    assert str(caught.value).startswith(f"{tmp_path}/r.csv")
    assert "\n" not in str(caught.value)


def test_a_zip_that_is_encrypted_is_refused(tmp_path: Path) -> None:
    held = bytearray(zipped({"r.csv": TEXT}))
    for flags in (6, held.rindex(b"PK\x01\x02") + 8):
        held[flags] |= 1
    with pytest.raises(DataError, match="it is encrypted: unpack it"):
        read_ratings(find_source(put(tmp_path / "r.zip", bytes(held))))


def test_a_folder_stands_for_its_parts(tmp_path: Path) -> None:
    put(tmp_path / "r/part-0.csv", b"user,item,rating\n1,10,4\n")
    put(tmp_path / "r/deep/part-1.csv", b"user,item,rating\nx,10,5\n")
    for chaff in ("_SUCCESS", ".part-0.csv.crc", "part-2.csv"):
        put(tmp_path / "r" / chaff, b"" if chaff == "part-2.csv" else b"chaff")
    assert [Path(source.name).name for source in find_sources(tmp_path / "r")] == ["part-1.csv", "part-0.csv"]
    with pytest.raises(DataError, match="a folder of 2 files: name the one to read"):
        find_source(tmp_path / "r")


def test_of_a_whole_data_set_the_file_with_the_usual_name_is_taken(tmp_path: Path) -> None:
    for name in ("ratings.csv", "movies.csv", "README.txt"):
        put(tmp_path / name)
    assert [source.name for source in find_sources(tmp_path, RATINGS_FILES)] == [f"{tmp_path}/ratings.csv"]


def test_what_tells_of_files_is_no_part_of_them(tmp_path: Path) -> None:
    for name in ("mine.csv", "README.md", "deep/LICENSE", "mine.csv.md5"):
        put(tmp_path / "d" / name)
    assert [source.name for source in find_sources(tmp_path / "d")] == [f"{tmp_path}/d/mine.csv"]
    archive = put(tmp_path / "d.zip", zipped({"a/mine.csv": TEXT, "a/readme.txt": b"x"}))
    assert content(find_source(archive)) == TEXT


def test_a_text_may_begin_as_other_files_do(tmp_path: Path) -> None:
    for start in ("ORC", "FEA1", "RDX", "Rar!", "LZIP", "$FL2"):
        path = put(tmp_path / "r.csv", f"{start},item,rating\n1,10,4\n".encode())
        assert read_ratings(find_source(path), Reading(columns=f"{start},item,rating")).ratings.tolist() == [4.0]


def test_ids_of_json_may_be_numbers_and_texts(tmp_path: Path) -> None:
    path = put(tmp_path / "r.jsonl", b'{"user": 1, "item": "a", "rating": 4}\n{"user": "1", "item": 7, "rating": 5}\n')
    table = read_ratings(find_source(path))
    assert (table.ids.users.tolist(), table.ids.items[table.items].tolist()) == ([1], ["a", "7"])


def test_a_pipe_is_read_once_and_held(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(TEXT,))
    writer.start()
    source = find_source(pipe)
    writer.join()
    assert content(source) == content(source) == TEXT
    assert read_ratings(source).ratings.tolist() == [4.0, 5.0, 3.0]


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="this system has no /dev/null")
def test_a_device_is_refused() -> None:
    with pytest.raises(DataError, match="/dev/null: not a regular file"):
        find_source(Path("/dev/null"))


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def prepared_ratings(folder: Path) -> tuple[list[float], list[float]]:
    tables = [pq.read_table(folder / f"artifacts/data/{part}.parquet") for part in ("train", "test")]
    train, test = (table["rating"].to_pylist() for table in tables)
    return train, test


def test_standard_input_a_file_and_its_parts_give_the_same(mfcli: Runner, process: Runner, tmp_path: Path) -> None:
    lines = [f"{u},{i},{(u * i) % 5 + 1}\n" for u in range(6) for i in range(7)]
    put(tmp_path / "all.csv", ("user,item,rating\n" + "".join(lines)).encode())
    for part, begin in enumerate((0, 14, 28)):
        put(tmp_path / f"parts/{part}.csv", ("user,item,rating\n" + "".join(lines[begin : begin + 14])).encode())
    parts = [f"parts/{part}.csv" for part in range(3)]
    ways = [["all.csv"], ["parts"], parts, ["-"]]
    found = []
    for files in ways:
        given = [word for file in files for word in ("--ratings", file)]
        command = ("prepare", *given, "--validation-fraction", 0)
        done = process(*command, input=(tmp_path / "all.csv").read_text()) if files == ["-"] else mfcli(*command)
        assert done.returncode == 0, done.stderr
        assert f"read 42 ratings in {45 if len(files) == 3 or files == ['parts'] else 43} lines of" in done.stderr
        found.append(prepared_ratings(tmp_path))
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.skipif(sys.platform == "win32", reason="process substitution is a shell's")
def test_process_substitution(process: Runner, tmp_path: Path) -> None:
    rows = np.arange(30)
    put(tmp_path / "r.csv", b"user,item,rating\n" + b"".join(b"%d,%d,%d\n" % (n // 5, n % 5, n % 3) for n in rows))
    read_end, write_end = os.pipe()
    os.write(write_end, (tmp_path / "r.csv").read_bytes())
    os.close(write_end)
    done = process("prepare", "--ratings", f"/dev/fd/{read_end}", pass_fds=(read_end,))
    os.close(read_end)
    assert done.returncode == 0, done.stderr
    assert "read 30 ratings in 31 lines" in done.stderr


def test_how_to_read_is_said_once_for_all_files(tmp_path: Path) -> None:
    source = find_source(put(tmp_path / "r.csv", b"1;4,5;2\n"))
    table = read_ratings(source, Reading(columns="3,1,2", separator=";", header=False, decimal=","))
    assert (table.ids.users.tolist(), table.ids.items.tolist(), table.ratings.tolist()) == ([2], [1], [4.5])


def test_an_address_is_no_file() -> None:
    with pytest.raises(DataError, match="an address, not a file: download it first"):
        find_source(Path("https://example.org/ratings.csv"))


def test_a_file_is_not_to_blame_where_no_more_can_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    path = put(tmp_path / "mine.csv")
    before = find_source(path)
    monkeypatch.setattr(Path, "open", refuse)
    for read in (lambda: find_source(path), lambda: before.kind, lambda: read_ratings(before)):
        with pytest.raises(OSError, match="Too many open files"):
            read()
