"""Files that nobody meant well: damaged at random, made to fill the memory, or written to be obeyed by a terminal."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfcli.data.archive import LARGEST_RATIO
from mfcli.data.files import Source, find_source, find_sources
from mfcli.data.people import read_users
from mfcli.data.readers import read_ratings
from mfcli.data.sheet import Sheet
from mfcli.data.table import Table
from mfcli.data.titles import read_own_items
from mfcli.errors import DataError, UsageError
from mfcli.terminal import OBEYED, visible
from tests.conftest import Runner
from tests.inputs import zipped

# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────

ROWS = [(u, i, (u * i) % 9 / 2 + 0.5, 10**9 + u * 977 + i) for u in range(1, 13) for i in range(1, 8)]


def text(separator: str, *header: str) -> bytes:
    """The rows as text."""
    lines = [separator.join(map(str, row)) for row in ROWS]
    return "\n".join([*([separator.join(header)] if header else []), *lines, ""]).encode()


def frame(write: Callable[[pa.Table, io.BytesIO], None]) -> bytes:
    """The rows as a file of columns."""
    made, columns = io.BytesIO(), zip(*ROWS, strict=True)
    write(pa.table(dict(zip(("user", "item", "rating", "time"), map(list, columns), strict=True))), made)
    return made.getvalue()


CSV = text(",", "userId", "movieId", "rating", "timestamp")
ITEMS = 'movieId,title,genres\n1,"Été, L\' (1999)",A|B\n2,"a ""b""",\n3,,C\n'.encode()
OBJECTS = [dict(zip(("user", "item", "rating"), row, strict=False)) for row in ROWS]
VALID = {
    "csv": CSV,
    "tsv": text("\t"),
    "dat": text("::"),
    "semicolon": b"sep=;\r\n" + CSV.replace(b",", b";").replace(b"\n", b"\r\n"),
    "utf16": CSV.decode().encode("utf-16"),
    "netflix": b"1:\n5,3,2005-09-06\n6,4,2005-09-07\n2:\n5,1,2005-09-08\n",
    "lines": b"".join(
        json.dumps(dict(zip(("user", "item", "rating"), row, strict=False))).encode() + b"\n" for row in ROWS
    ),
    "json": json.dumps(OBJECTS).encode(),
    "parquet": frame(pq.write_table),
    "feather": frame(feather.write_feather),
    "gzip": gzip.compress(CSV, mtime=0),
    "bz2": bz2.compress(CSV),
    "xz": lzma.compress(CSV),
    "zip": zipped({"a/ratings.csv": CSV}),
    "items": ITEMS,
}
TOKENS = [
    *(b'"', b"\0", b"\n", b"\r", b",", b",,", b"::", b";", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1a", b"#"),
    *(b"nan", b"inf", b"1e999", b"-1e38", b"", b"9" * 30, b"1.0", b"\x1b[31m", "\u202e\u200b".encode(), b"=1+1"),
]


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The content after one or two strokes: bytes changed, cut out, doubled, put in, cut off, taken from elsewhere."""
    for _ in range(dice.randint(1, 2)):
        at, to = sorted(dice.randint(0, len(content)) for _ in range(2))
        to = min(to, at + 12)
        other = VALID[dice.choice(sorted(VALID))]
        middle = dice.choice(
            [
                bytes(dice.randrange(256) for _ in range(dice.randint(1, 4))),
                b"",
                content[at:to] * 2,
                dice.choice(TOKENS) + content[at:to],
                dice.choice(TOKENS),
                other[at:to],
            ]
        )
        content = content[:at] if dice.random() < 0.1 else content[:at] + middle + content[to:]
    return content


READERS: tuple[Callable[[Source], Table | Sheet], ...] = (read_ratings, read_own_items, read_users)


def assert_read_or_refused(file: Path) -> bool:
    """Whether ratings, items and users read from a file are sound; what is not read is refused in one line."""
    read = [made for made in (_read_or_refused(reader, file) for reader in READERS) if made is not None]
    for made in read:
        if isinstance(made, Table):
            assert len(made) == len(made.users) == len(made.items)
            assert np.isfinite(made.ratings).all()
            assert made.users.max() < made.n_users == len(made.ids.users)
            assert made.items.max() < made.n_items == len(made.ids.items)
            assert "" not in {*made.ids.users.tolist(), *made.ids.items.tolist()}
    return bool(read)


def _read_or_refused(reader: Callable[[Source], Table | Sheet], file: Path) -> Table | Sheet | None:
    try:
        return reader(find_source(file))
    except (DataError, UsageError) as error:
        said = str(error)
    assert said
    assert said == visible(said)
    return None


@pytest.mark.parametrize("cases", [100, pytest.param(1800, marks=pytest.mark.soak)])
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, cases: int) -> None:
    file, read = tmp_path / "file", 0
    for case in range(cases):
        dice = random.Random(case)
        file.write_bytes(damaged(VALID[sorted(VALID)[case % len(VALID)]], dice))
        read += assert_read_or_refused(file)
    assert 0.1 < read / cases < 0.9


CELLS = st.text(st.sampled_from("019.-,;:\t \"'\\#=eE%\0\r\n\u202e\u200b\ufeffé٤\ud7ff"), max_size=6)
LINES = st.lists(st.lists(CELLS, min_size=1, max_size=5), min_size=1, max_size=8)


@pytest.mark.parametrize("cases", [50, pytest.param(500, marks=pytest.mark.soak)])
def test_any_text_is_read_or_refused_in_one_line(tmp_path: Path, cases: int) -> None:
    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(LINES, st.sampled_from(",\t;"), st.sampled_from(["utf-8", "utf-16", "cp1252"]), st.booleans())
    def check(lines: list[list[str]], separator: str, encoding: str, header: bool) -> None:
        rows = [*([["user", "item", "rating"]] if header else []), *lines]
        content = "\n".join(map(separator.join, rows)).encode(encoding, "replace")
        (tmp_path / "file").write_bytes(content)
        assert_read_or_refused(tmp_path / "file")

    check()


@pytest.mark.parametrize("cases", [15, pytest.param(100, marks=pytest.mark.soak)])
def test_the_command_meets_a_damaged_file_in_one_line(mfcli: Runner, tmp_path: Path, cases: int) -> None:
    codes = []
    for case in range(cases):
        dice = random.Random(10_000 + case)
        (tmp_path / "file").write_bytes(damaged(VALID[dice.choice(("csv", "dat", "json", "netflix", "zip"))], dice))
        done = mfcli("prepare", "-q", "--ratings", "file")
        codes.append(done.returncode)
        assert done.returncode in (0, 4), done.stderr
        if done.returncode:
            assert re.fullmatch(r"mfcli: error: [^\n]+\n", done.stderr), done.stderr
    assert set(codes) == {0, 4}


# ── archives ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LINE = b"7,8,3.5\n"


@pytest.fixture
def suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte is much."""
    monkeypatch.setattr("mfcli.data.archive.UNSUSPECTED", 1 << 20)


BOMB = LINE * (1 << 19)
BOMBS = {
    "gzip": gzip.compress(BOMB, mtime=0),
    "bz2": bz2.compress(BOMB),
    "xz": lzma.compress(BOMB),
    "zstd": pa.compress(BOMB, "zstd", asbytes=True),
    "zip": zipped({"ratings.csv": BOMB}),
    "zip in gzip": gzip.compress(zipped({"ratings.csv": BOMB}), mtime=0),
    "gzip in zip": zipped({"ratings.csv.gz": gzip.compress(BOMB, mtime=0)}),
    "json": gzip.compress(b"[" + b" " * len(BOMB) + b"]", mtime=0),
}


@pytest.mark.usefixtures("suspicious")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(mfcli: Runner, tmp_path: Path, kind: str) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[kind])
    done = mfcli("prepare", "--ratings", "bomb")
    assert (done.returncode, done.stderr) == (
        4,
        f"mfcli: error: bomb: refused, it unpacks to more than {LARGEST_RATIO} times its size: "
        "unpack it, if that is right\n",
    )


@pytest.mark.usefixtures("suspicious")
def test_a_downloaded_zip_that_would_fill_the_disk_is_refused(mfcli: Runner, tmp_path: Path) -> None:
    (tmp_path / "bomb.zip").write_bytes(zipped({"x/ratings.csv": BOMB, "x/movies.csv": b""}))
    done = mfcli("download", "--from", "bomb.zip")
    assert done.returncode == 5
    assert re.search(r"error: bomb.zip: refused, it unpacks to \d+ times its size, as no data set does\n", done.stderr)


def test_ratings_that_shrink_well_are_no_bomb(mfcli: Runner, tmp_path: Path) -> None:
    lines = "".join(f"{u},{i},3\n" for u in range(300) for i in range(300))
    (tmp_path / "ratings.gz").write_bytes(gzip.compress(f"user,item,rating\n{lines}".encode()))
    assert mfcli("prepare", "--ratings", "ratings.gz").returncode == 0


def test_nothing_of_an_archive_of_ratings_is_written_wherever_its_names_lead(mfcli: Runner, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/evil.zip").write_bytes(zipped({"../../evil.csv": CSV}))
    assert mfcli("prepare", "--ratings", "evil.zip", cwd=tmp_path / "in").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_links_in_a_folder_of_parts_lead_nowhere_twice(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_bytes(CSV)
    for name, target in {"loop": "loop", "up": "..", "self": ".", "gone": "nowhere"}.items():
        (folder / name).symlink_to(target)
    assert [Path(source.name).name for source in find_sources(folder)] == ["a.csv"]


# ── what is to be obeyed ─────────────────────────────────────────────────────────────────────────────────────────────

TITLES = [
    *("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]52;c;cm0=\x07", "\x9b31m", "a\bb", "a\x7fb", "a\x0bb\x0cc"),
    *("\u202egpj.exe", "\u2066a\u2069", "a\u2028b\u2029c", "a\x85b"),
    *("=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")', "a\t=1"),
    *("[red]x[/red]", ":smile:", "a,b", 'a "b" c', "a\\b", "Été (1999)", "日本\u3000語", "क्\u200dष"),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run whose titles, genres and ids are to be obeyed."""
    from mfcli.config.prepare import PrepareConfig
    from mfcli.config.train import TrainConfig
    from mfcli.prepare import prepare
    from mfcli.train import train

    folder = tmp_path_factory.mktemp("hostile")
    users = ["=1+1", "\x1b[2J", *"abcdef"]
    with (folder / "ratings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("user", "item", "rating"),
                *((u, f"@{i}", (n * i) % 5 + 1) for n, u in enumerate(users) for i in range(26)),
            ]
        )
    columns = {"item": [f"@{i}" for i in range(len(TITLES))], "title": TITLES, "genres": ["=A|\x1b[1mB"] * len(TITLES)}
    pq.write_table(pa.table(columns), folder / "items.parquet")  # a text would lose its marks of direction
    at = folder / "artifacts"
    prepare(PrepareConfig(dir=at, ratings=(folder / "ratings.csv",), items=folder / "items.parquet"))
    train(TrainConfig(dir=at, epochs=1, factors=2))
    return folder


ASKED = ("recommend", "--user", "=1+1", "--user", "\x1b[2J", "--include-seen", "-n", "99")


SIMILAR = ("recommend", "--similar-to", "@0", "--min-ratings", "1", "-n", "99")


@pytest.mark.parametrize("asked", [ASKED, SIMILAR, ("recommend", "--list", "items")])
def test_a_table_shows_what_a_terminal_would_obey(hostile: Path, mfcli: Runner, asked: tuple[str, ...]) -> None:
    done = mfcli(*asked, "--format", "table", cwd=hostile)
    assert (done.returncode, done.stderr) == (0, "")
    assert not OBEYED.search(done.stdout.replace("\n", ""))
    for title in TITLES:
        assert visible(title) in done.stdout or (asked is SIMILAR and title == TITLES[0])


def test_csv_and_json_give_texts_back_as_they_are(hostile: Path, mfcli: Runner) -> None:
    for kind in ("csv", "jsonl", "json"):
        done = mfcli(*ASKED, "--format", kind, "--output", f"out.{kind}", cwd=hostile)
        assert done.returncode == 0, done.stderr
        content = (hostile / f"out.{kind}").read_bytes().decode()
        if kind == "csv":
            rows = list(csv.DictReader(io.StringIO(content, newline="")))
        else:
            rows = json.loads(content) if kind == "json" else [json.loads(line) for line in content.split("\n")[:-1]]
            assert not OBEYED.search(content.replace("\n", ""))
        assert {row["user"] for row in rows} == {"=1+1", "\x1b[2J"}
        assert {row["title"] for row in rows} == set(TITLES)
        assert {row["genres"] for row in rows} == {"=A|\x1b[1mB"}


def test_messages_show_what_a_terminal_would_obey(hostile: Path, mfcli: Runner) -> None:
    (hostile / "mine.csv").write_text("item,rating\n@1,4\n\x1b[31mno such\u202e,3\n", encoding="utf-8")
    (hostile / "odd.csv").write_text("user,item,\x1b[2Jstars\n1,2,3\n", encoding="utf-8")
    for asked in (
        ("recommend", "--ratings", "mine.csv"),
        ("recommend", "--user", "\x1b[31m"),
        ("prepare", "--dir", "other", "--ratings", "odd.csv", "--columns", "1,2,3"),
        ("prepare", "--dir", "other", "--ratings", "odd.csv"),
        ("evaluate", "--run", "\x1b[31m"),
        ("evaluate", "--dir", "\x1b[31m"),
    ):
        done = mfcli(*asked, cwd=hostile)
        assert r"\x1b[" in done.stderr
        assert not OBEYED.search((done.stderr + done.stdout).replace("\n", ""))
