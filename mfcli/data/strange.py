"""Files that are known but not read, by how they begin or by what is in them; and what to do instead."""

import tarfile
from collections.abc import Collection

AS_CSV = "export it as CSV"
AS_TABLE = "export it as CSV or parquet"
TABLE_AS_CSV = "export the table as CSV"
PICKLE = f"a Python pickle, which is never opened: {AS_TABLE}"
PAGE = "a web page: was the download behind a login?"

BINARY = {
    b"\xd0\xcf\x11\xe0": "an Excel file: save it as CSV",
    b"SQLite format 3\0": f"an SQLite database: {TABLE_AS_CSV}",
    b"\x89HDF": f"an HDF5 file: {AS_TABLE}",
    b"\x80\x02": PICKLE,
    b"\x80\x03": PICKLE,
    b"\x80\x04\x95": PICKLE,
    b"\x80\x05\x95": PICKLE,
    b"ccopy_reg\n": PICKLE,
    b"FEA1": "a Feather file of version 1: write it as version 2",
    b"\xff\xff\xff\xff": "an Arrow stream: write it as a file, feather or parquet",
    b"Obj\x01": f"an Avro file: {AS_TABLE}",
    b"ORC": f"an ORC file: {AS_TABLE}",
    b"RDX": f"an R data file: {AS_CSV}",
    b"X\n\0\0": f"an R data file: {AS_CSV}",
    b"\x93NUMPY": f"a NumPy array: {AS_CSV}",
    b"MATLAB 5.0 MAT-file": f"a MATLAB file: {AS_CSV}",
    b"$FL2": f"an SPSS file: {AS_CSV}",
    b"<stata_dta>": f"a Stata file: {AS_CSV}",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\xc2\xea\x81\x60": f"a SAS file: {AS_CSV}",
    b"7z\xbc\xaf": "a 7-zip archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"\x1f\x9d": "a file of the old compress (.Z): unpack it",
    b"]\0\0": "an LZMA file of the old kind: unpack it",
    b"LZIP": "an lzip file: unpack it",
    b"\x89LZO": "an LZO file: unpack it",
    b"\xff\x06\0\0sNaPpY": "a Snappy file: unpack it",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
"""First bytes of what is no text. Where a text may begin so, they count only if other characters follow than it has."""

WORDS = {
    b"%pdf": f"a PDF: {TABLE_AS_CSV}",
    b"<!doctype html": PAGE,
    b"<html": PAGE,
    b"<table": PAGE,
    b"<?xml": f"an XML file: {AS_CSV}",
    b"version https://git-lfs": "a pointer of Git LFS, not the file: `git lfs pull` fetches it",
    b"-- mysql dump": f"a dump of a database: {TABLE_AS_CSV}",
    b"--\n-- postgresql database dump": f"a dump of a database: {TABLE_AS_CSV}",
    b"pragma foreign_keys": f"a dump of a database: {TABLE_AS_CSV}",
}
"""First words, in lower case, of what is text of another kind."""

IN_ZIP = {
    "xl/": "an Excel file: save it as CSV",
    "word/": f"a Word file: {TABLE_AS_CSV}",
    "META-INF/manifest.xml": "a LibreOffice file: save it as CSV",
    "Index/": "a Numbers file: export it as CSV",
}
"""How the name of a member of a zip begins that is an office program's file."""

CONTROLS = bytes({*range(32), 127} - set(b"\t\n\v\f\r\x1a\x1b\x1c\x1d\x1e\x1f"))


def strange(head: bytes) -> str | None:
    """What a file is that begins so; None if it may hold ratings."""
    is_text = head[:1024].translate(None, CONTROLS) == head[:1024]
    for magic, what in BINARY.items():
        if head.startswith(magic) and not (is_text and _may_begin_a_text(magic)):
            return what
    if not is_text and _is_tar(head):
        return "a tar archive: unpack it, and give the file or the folder"
    start = head[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((what for words, what in WORDS.items() if start.startswith(words)), None)


def strange_zip(names: Collection[str]) -> str | None:
    """What a zip is that holds files of these names; None if they may hold ratings."""
    if names and all(name.endswith(".npy") for name in names):
        return f"a NumPy archive: {AS_CSV}"
    return next((what for start, what in IN_ZIP.items() if any(name.startswith(start) for name in names)), None)


def _may_begin_a_text(magic: bytes) -> bool:
    return len(magic) <= 4 and magic.isascii() and magic.decode().isprintable()


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
