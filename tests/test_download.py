"""``mfcli download`` against servers on 127.0.0.1, zips and folders that are good, broken or hostile."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import pty
import re
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfcli.artifacts import Artifacts
from mfcli.config.download import DownloadConfig
from mfcli.data.archive import unpack
from mfcli.data.catalogue import CATALOGUE
from mfcli.download import Downloaded, download
from mfcli.errors import ArtifactError, DownloadError, UsageError
from mfcli.progress import Progress
from tests.conftest import Result, Runner, clean_environment
from tests.inputs import zipped

RATINGS = "userId,movieId,rating,timestamp\n" + "".join(f"{u},{u + 1},3.5,{u * 7919}\n" for u in range(1, 400))
MOVIES = 'movieId,title,genres\n1,"Été, L\' (1999)",Drama\n'
CSV_FILES = {"ml-latest-small/ratings.csv": RATINGS, "ml-latest-small/movies.csv": MOVIES}
DAT_FILES = {"ml-1m/ratings.dat": "1::1::5::0\n", "ml-1m/movies.dat": "1::A (2000)::Drama\n"}

# For 127.0.0.1, signed by itself: worth nothing to anybody.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJAnBOmOLvWNFeos2
ai7qwnuDeXlWkSZX7NHpZwvREhGhRANCAARltpIrbQJny+9KiA5u/06FYsEuMpg2
l4RwRYkc1O16E8xXmGtlPqaYoMfsAyHhIe52E/tJRBFHs9Ce5JqvgnWJ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBbTCCARKgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAkxMjcuMC4w
LjEwIBcNMDAwMTAxMDAwMDAwWhgPMjA5OTEyMzEyMzU5NTlaMBQxEjAQBgNVBAMM
CTEyNy4wLjAuMTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGW2kittAmfL70qI
Dm7/ToViwS4ymDaXhHBFiRzU7XoTzFeYa2U+ppigx+wDIeEh7nYT+0lEEUez0J7k
mq+CdYmjUzBRMA8GA1UdEQQIMAaHBH8AAAEwDwYDVR0TAQH/BAUwAwEB/zAdBgNV
HQ4EFgQUahcA62KFNkI0Fy4gUUCW6rZ9rogwDgYDVR0PAQH/BAQDAgKEMAoGCCqG
SM49BAMCA0kAMEYCIQDpbrEbfMjXD39S4MwnsLiLjU/8rr0XZPPIcnTnXKXO5wIh
APwYzs7co2tI7ApcTdS7gftg1ZHwdsOhNl/mQg2xgBbN
-----END CERTIFICATE-----
"""


ZIP = zipped(CSV_FILES)
MD5 = f"{hashlib.md5(ZIP).hexdigest()}  ml-latest-small.zip\n".encode()


@dataclass(frozen=True)
class Answer:
    """What the server says to one request: after ``body`` it hangs up, however much it promised.

    Attributes:
        body: sent at once, or a hundred bytes at a time, ``pause`` seconds apart.
        promised: the length it tells.
        location: where to look instead.
        silent: it says nothing.
        stalls: it sends the body and neither more nor that this was all.
    """

    body: bytes = b""
    status: int = 200
    promised: int | None = None
    location: str | None = None
    silent: bool = False
    stalls: bool = False
    pause: float = 0.0


@dataclass
class Server:
    """A web server and what it was asked. A path's last answer is given again and again."""

    address: str
    answers: dict[str, list[Answer]]
    asked: list[str] = field(default_factory=list)
    was_asked: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        self.was_asked.set()
        answers = self.answers.get(path, [Answer(status=404)])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextlib.contextmanager
def serving(answers: dict[str, list[Answer]], tls: Path | None = None) -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = server.answer(self.path)
            if answer.silent:
                server.over.wait(30)
                return
            self.send_response(answer.status)
            self.send_header("Content-Length", str(answer.promised or len(answer.body)))
            if answer.location:
                self.send_header("Location", answer.location)
            self.end_headers()
            step = 100 if answer.pause else max(1, len(answer.body))
            for at in range(0, len(answer.body), step):
                server.over.wait(answer.pause)
                self.wfile.write(answer.body[at : at + step])
            if answer.stalls:
                server.over.wait(30)

        def log_message(self, *_: object) -> None:
            pass

    class Web(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up, or does not like our certificate, is no news."""

    with Web(("127.0.0.1", 0), Handler) as web:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            web.socket = context.wrap_socket(web.socket, server_side=True)
        server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{web.server_port}/data", answers)
        thread = threading.Thread(target=web.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            web.shutdown()
            thread.join()


def offering(*archive: Answer) -> dict[str, list[Answer]]:
    """ml-latest-small as GroupLens publishes it, its zip answered as given."""
    return {
        "/data/ml-latest-small.zip": list(archive) or [Answer(ZIP)],
        "/data/ml-latest-small.zip.md5": [Answer(MD5)],
    }


def asked_archives(server: Server) -> int:
    return server.asked.count("/data/ml-latest-small.zip")


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy the machine uses, 127.0.0.1 is not behind it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between two tries."""
    monkeypatch.setattr("time.sleep", lambda _: None)


Get = Callable[..., Downloaded]


@pytest.fixture
def get(tmp_path: Path) -> Get:
    """``get(mirror=...)`` downloads ml-latest-small, in this process, to ``artifacts`` in the test's own folder."""

    def call(name: str = "ml-latest-small", **options: object) -> Downloaded:
        progress = options.pop("progress", None)
        return download(DownloadConfig(name=name, dir=tmp_path / "artifacts", **options), progress)  # type: ignore[arg-type]

    return call


def left_behind(folder: Path) -> list[str]:
    """What lies under raw/ beside finished data sets; a lock file may stay."""
    raw = folder / "artifacts" / "raw"
    return [p.name for p in raw.glob("*") if p.suffix != ".lock" and not (p / "stage.json").exists()]


def assert_refused(result: Result, code: int, *words: str) -> None:
    """An exit code, nothing on standard output, one line on standard error, with these words in it."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("mfcli: error: ")
    for word in words:
        assert word in line


# ── from a server ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_changing_set_is_checked_against_the_md5_beside_it(mfcli: Runner, tmp_path: Path) -> None:
    with serving(offering()) as server:
        done = mfcli("download", "ml-latest-small", "--mirror", server.address, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["files"] == ["movies.csv", "ratings.csv"]
    assert server.asked == ["/data/ml-latest-small.zip.md5", "/data/ml-latest-small.zip"]
    folder = tmp_path / "artifacts/raw/ml-latest-small"
    assert (folder / "ratings.csv").read_text() == RATINGS
    assert (folder / "movies.csv").read_text() == MOVIES
    results = json.loads((folder / "stage.json").read_text())["results"]
    assert results == {"address": f"{server.address}/ml-latest-small.zip", "md5": MD5.decode().split()[0]}
    assert left_behind(tmp_path) == []


def test_a_fixed_set_is_checked_against_the_catalogue(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(DAT_FILES)
    entry = replace(CATALOGUE["ml-1m"], md5=hashlib.md5(content).hexdigest())
    with serving({"/data/ml-1m.zip": [Answer(content)]}) as server:
        with pytest.raises(DownloadError, match=CATALOGUE["ml-1m"].md5):
            get("ml-1m", mirror=server.address, retries=0)
        monkeypatch.setitem(CATALOGUE, "ml-1m", entry)
        assert get("ml-1m", mirror=server.address).files == ["movies.dat", "ratings.dat"]
    assert set(server.asked) == {"/data/ml-1m.zip"}  # no .md5 is asked for


def test_a_second_call_does_nothing_and_says_so(mfcli: Runner, get: Get, tmp_path: Path) -> None:
    with serving(offering()) as server:
        get(mirror=server.address)
        before, record = len(server.asked), tmp_path / "artifacts/raw/ml-latest-small/stage.json"
        made = record.stat().st_mtime_ns
        again = mfcli("download", "ml-latest-small", "--mirror", server.address)
        assert len(server.asked) == before
    assert again.returncode == 0
    assert "in place already: nothing to do" in again.stderr
    assert "ratings.csv" in again.stdout
    assert record.stat().st_mtime_ns == made


def test_damage_is_fetched_again_and_so_is_everything_by_force(get: Get) -> None:
    with serving(offering()) as server:
        first = get(mirror=server.address)
        (first.path / "ratings.csv").write_text("1,2\n")
        assert not get(mirror=server.address).already_there
        assert (first.path / "ratings.csv").read_text() == RATINGS
        assert get(mirror=server.address).already_there
        assert not get(mirror=server.address, force=True).already_there
        assert asked_archives(server) == 3


def test_a_failed_update_leaves_the_previous_copy(get: Get) -> None:
    with serving(offering(Answer(ZIP), Answer(b"cut", promised=900))) as server:
        first = get(mirror=server.address)
        with pytest.raises(DownloadError):
            get(mirror=server.address, force=True, retries=0)
        assert get(mirror=server.address).already_there
    assert (first.path / "ratings.csv").read_text() == RATINGS


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "bad",
    [
        Answer(status=404),
        Answer(status=500),
        Answer(ZIP[:50], promised=len(ZIP)),
        Answer(ZIP[:50], promised=len(ZIP), stalls=True),
        Answer(ZIP, promised=len(ZIP) - 9),
        Answer(b"<html>Please log in</html>"),
        Answer(silent=True),
    ],
    ids=["404", "500", "cut", "stalled", "shortened", "altered", "silent"],
)
def test_what_fails_is_tried_again_as_often_as_retries_says(get: Get, bad: Answer) -> None:
    with serving(offering(bad, bad, Answer(ZIP))) as server:
        with pytest.raises(DownloadError, match=r"\(tried 2 times\)"):
            get(mirror=server.address, retries=1, timeout=0.2)
        assert asked_archives(server) == 2
    with serving(offering(bad, bad, Answer(ZIP))) as server:
        assert not get(mirror=server.address, retries=2, timeout=0.2).already_there
        assert asked_archives(server) == 3


def test_a_redirect_is_followed(get: Get) -> None:
    answers = offering(Answer(status=302, location="/elsewhere.zip")) | {"/elsewhere.zip": [Answer(ZIP)]}
    with serving(answers) as server:
        assert get(mirror=server.address).files == ["movies.csv", "ratings.csv"]
    assert server.asked[-1] == "/elsewhere.zip"


@pytest.mark.usefixtures("patient")
def test_weather_that_changes_with_every_try(get: Get) -> None:
    bad = (Answer(status=503), Answer(ZIP[:9], promised=len(ZIP)), Answer(b"<html>"), Answer(silent=True))
    with serving(offering(*bad, Answer(ZIP))) as server:
        assert not get(mirror=server.address, retries=len(bad), timeout=0.2).already_there
        assert asked_archives(server) == len(bad) + 1


def test_a_slow_server_is_waited_for_as_long_as_something_comes(get: Get) -> None:
    with serving(offering(Answer(ZIP, pause=0.02))) as server:
        assert get(mirror=server.address, retries=0, timeout=0.2).files == ["movies.csv", "ratings.csv"]
        assert asked_archives(server) == 1


@pytest.mark.usefixtures("patient")
def test_a_redirect_from_https_to_http_is_refused(mfcli: Runner, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(CERTIFICATE)
    with serving({"/data/ml-latest-small.zip.md5": [Answer(MD5)]}) as plain:
        leading = [Answer(status=302, location=f"{plain.address}/ml-latest-small.zip.md5")]
        with serving({"/data/ml-latest-small.zip.md5": leading}, tls=pem) as server:
            trusted = {"REQUESTS_CA_BUNDLE": str(pem)}
            result = mfcli("download", "--mirror", server.address, "--retries", 1, env=trusted)
    assert_refused(result, 5, "redirected from https to http", "(tried 2 times)")
    assert plain.asked == []


@pytest.mark.parametrize("bundle", ["nowhere.pem", "empty.pem", "."])
def test_a_bundle_of_certificates_that_is_none_is_one_line(mfcli: Runner, tmp_path: Path, bundle: str) -> None:
    (tmp_path / "server.pem").write_text(CERTIFICATE)
    (tmp_path / "empty.pem").write_text("")
    with serving(offering(), tls=tmp_path / "server.pem") as server:
        result = mfcli("download", "--mirror", server.address, "--retries", 0, env={"REQUESTS_CA_BUNDLE": bundle})
    assert_refused(result, 5, f"{server.address}/ml-latest-small.zip")
    assert "None" not in result.stderr


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, ("404", "--mirror URL or --from PATH")),
        (offering(Answer(status=500)), ("500 Server Error",)),
        (offering(Answer(b"other bytes")), ("checksum is not md5:", "damaged on the way, or changed")),
        (offering(Answer(ZIP[:50], promised=len(ZIP))), ("ml-latest-small.zip: ", "50 bytes read")),
        (offering(Answer(silent=True)), ("timed out",)),
        (offering(Answer(ZIP[:50], promised=len(ZIP), stalls=True)), ("timed out",)),
        (offering(Answer(ZIP, promised=len(ZIP) - 9)), ("checksum is not md5:",)),
        (offering(Answer(status=302, location="/data/ml-latest-small.zip")), ("Exceeded 30 redirects",)),
        ({"/data/ml-latest-small.zip.md5": [Answer(b"<html>\nhello\n")]}, ("no MD5 checksum in it",)),
    ],
    ids=["absent", "failing", "altered", "cut", "silent", "stalled", "shortened", "redirect loop", "no-md5"],
)
def test_a_failing_server_costs_one_line_and_leaves_nothing(
    mfcli: Runner, tmp_path: Path, answers: dict[str, list[Answer]], words: tuple[str, ...]
) -> None:
    with serving(answers) as server:
        result = mfcli("download", "--mirror", server.address, "--retries", 0, "--timeout", 0.3)
    assert_refused(result, 5, f"{server.address}/ml-latest-small.zip", *words)
    assert left_behind(tmp_path) == []


def test_nobody_listening(mfcli: Runner) -> None:
    with serving({}) as server:
        pass
    result = mfcli("download", "--mirror", server.address, "--retries", 0)
    assert_refused(result, 5, "Connection refused (tried once): look at the network")


def test_an_unknown_certificate_is_refused_and_a_known_one_is_not(mfcli: Runner, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(CERTIFICATE)
    with serving(offering(), tls=pem) as server:
        refused = mfcli("download", "--mirror", server.address, "--retries", 0)
        assert_refused(refused, 5, "certificate verify failed")
        assert server.asked == []
        known = mfcli("download", "--mirror", server.address, env={"REQUESTS_CA_BUNDLE": str(pem)})
        assert known.returncode == 0, known.stderr


def test_the_proxy_of_the_environment_is_asked(mfcli: Runner) -> None:
    base = "http://movies.invalid"
    with serving({base + path: answer for path, answer in offering().items()}) as proxy:
        done = mfcli("download", "--mirror", f"{base}/data/", env={"http_proxy": proxy.address.removesuffix("/data")})
    assert done.returncode == 0, done.stderr
    assert proxy.asked == [f"{base}/data/ml-latest-small.zip.md5", f"{base}/data/ml-latest-small.zip"]


def test_a_password_in_the_address_is_neither_shown_nor_recorded(get: Get) -> None:
    with serving(offering()) as server:
        secret = server.address.replace("//", "//me:sesame@")
        done = get(mirror=secret)
        with pytest.raises(DownloadError) as caught:
            get(mirror=f"{secret}/nowhere", force=True, retries=0)
    assert "sesame" not in (done.path / "stage.json").read_text()
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_process_that_is_ended_leaves_nothing_half_written(
    get: Get, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    with serving(offering(Answer(silent=True), Answer(ZIP))) as server:
        command = [sys.executable, "-m", "mfcli", "download", "--mirror", server.address]
        with subprocess.Popen(
            command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            while not asked_archives(server):
                assert server.was_asked.wait(30)
                server.was_asked.clear()
            process.send_signal(signum)
            output, _ = process.communicate(timeout=30)
        assert process.returncode == code
        assert output == b""
        if signum == signal.SIGTERM:
            assert left_behind(tmp_path) == []
        get(mirror=server.address)
    assert left_behind(tmp_path) == []


# ── the bar ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Recorder(Progress):
    """Keeps each bar's total, and what it was advanced by."""

    def __init__(self) -> None:
        self.bars: list[tuple[float | None, list[float]]] = []

    @contextlib.contextmanager
    def bar(self, text: str, total: float | None, *, bytes: bool = False) -> Iterator[Callable[[float], None]]:
        assert (text, bytes) == ("ml-latest-small.zip", True)
        self.bars.append((total, []))
        yield self.bars[-1][1].append


@pytest.mark.usefixtures("patient")
def test_each_try_has_a_bar_with_the_true_total(get: Get) -> None:
    recorder = Recorder()
    content = zipped({**CSV_FILES, "ml-latest-small/big.bin": "x" * 300_000}, zipfile.ZIP_STORED)
    answers = offering(Answer(content[:200_000], promised=len(content)), Answer(content))
    answers["/data/ml-latest-small.zip.md5"] = [Answer(hashlib.md5(content).hexdigest().encode())]
    with serving(answers) as server:
        get(mirror=server.address, progress=recorder)
    (total, first), (again, second) = recorder.bars
    assert total == again == len(content)
    assert 0 < sum(first) <= 200_000
    assert sum(second) == len(content)
    assert len([step for step in second if step]) >= 5


def test_on_a_terminal_the_bar_shows_how_much_of_how_much(tmp_path: Path) -> None:
    control, terminal = pty.openpty()
    with serving(offering()) as server, os.fdopen(control, "rb", buffering=0) as screen:
        command = [sys.executable, "-m", "mfcli", "download", "--mirror", server.address]
        environment = clean_environment(TERM="xterm", COLUMNS="120")
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=terminal
        ) as process:
            os.close(terminal)
            seen = b""
            with contextlib.suppress(OSError):  # the other end is closed
                while chunk := screen.read(65536):
                    seen += chunk
            output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    shown = f"{len(ZIP) / 1000:.1f}"
    assert f"{shown} kB/{shown} kB" in seen.decode()
    assert b"\x1b" not in output


# ── from the disk ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "given.zip"
    path.write_bytes(ZIP)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "given"
    (path / "more").mkdir(parents=True)
    (path / "ratings.csv").write_text(RATINGS)
    (path / "movies.csv").write_text(MOVIES)
    (path / "more/notes.txt").write_text("as published")
    return path


def test_a_zip_on_disk_is_taken_once(mfcli: Runner, archive: Path, tmp_path: Path) -> None:
    first, second = (mfcli("download", "ml-latest-small", "--from", archive) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert second.returncode == 0
    assert "nothing to do" in second.stderr
    assert (tmp_path / "artifacts/raw/ml-latest-small/ratings.csv").read_text() == RATINGS


@pytest.mark.parametrize("kind", ["archive", "folder"])
def test_another_source_than_last_time_replaces_it(get: Get, request: pytest.FixtureRequest, kind: str) -> None:
    source: Path = request.getfixturevalue(kind)
    assert not get(source=source).already_there
    assert get(source=source).already_there
    if kind == "archive":
        source.write_bytes(zipped(CSV_FILES | {"ml-latest-small/ratings.csv": RATINGS[:-30]}))
    else:
        (source / "ratings.csv").write_text(RATINGS[:-30])
    done = get(source=source)
    assert not done.already_there
    assert (done.path / "ratings.csv").read_text() == RATINGS[:-30]


def test_a_folder_is_copied_with_what_lies_below_it(mfcli: Runner, folder: Path, tmp_path: Path) -> None:
    (folder / "stage.json").write_text("somebody else's")
    done = mfcli("download", "ml-latest-small", "--from", folder, "--json")
    assert done.returncode == 0
    assert "no checksum to compare" in done.stderr
    assert json.loads(done.stdout)["files"] == ["more/notes.txt", "movies.csv", "ratings.csv"]
    assert (tmp_path / "artifacts/raw/ml-latest-small/more/notes.txt").read_text() == "as published"


def test_the_folder_may_hold_the_artifact_directory(get: Get, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        shutil.move(path, tmp_path / path.name)
    assert get(source=tmp_path).files == ["more/notes.txt", "movies.csv", "ratings.csv"]


def test_a_file_that_cannot_be_copied_is_named_in_one_line(mfcli: Runner, folder: Path, tmp_path: Path) -> None:
    (folder / "gone.csv").symlink_to("nowhere")
    result = mfcli("download", "-q", "--from", folder)
    assert_refused(result, 5, f"{folder}/gone.csv: it cannot be copied")
    assert left_behind(tmp_path) == []


def test_another_edition_of_a_fixed_set_is_refused(get: Get, archive: Path) -> None:
    with pytest.raises(DownloadError, match="not c4d9eecfca2ab87c1945afe126590906 as published"):
        get("ml-1m", source=archive)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.zip", None, ("no such file or folder",)),
        ("text.zip", b"userId,movieId\n", ("not a zip that can be unpacked",)),
        ("cut.zip", ZIP[:-40], ("not a zip that can be unpacked",)),
        ("damaged.zip", ZIP[:90] + bytes(40) + ZIP[130:], ("not a zip that can be unpacked",)),
        ("empty.zip", zipped({}), ("there is no ratings.csv in it: it is not ml-latest-small",)),
        ("other.zip", zipped(DAT_FILES), ("there is no ratings.csv in it: it is not ml-latest-small",)),
        ("evil.zip", zipped(CSV_FILES | {"../evil\n\x1b[31m": "x"}), ("refused", r"'../evil\n\x1b[31m'")),
    ],
)
def test_a_source_that_is_no_such_data_set(
    mfcli: Runner, tmp_path: Path, name: str, content: bytes | None, words: tuple[str, ...]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert_refused(mfcli("download", "--from", name), 5, name, *words)
    assert left_behind(tmp_path) == []


# ── zips ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def unpacked(content: bytes, folder: Path) -> dict[str, str]:
    """Names and contents that a zip yields."""
    target = folder / "zip" / "target"
    target.mkdir(parents=True)
    (folder / "a.zip").write_bytes(content)
    unpack(folder / "a.zip", target, "a.zip")
    return {p.relative_to(target).as_posix(): p.read_text() for p in target.rglob("*") if p.is_file()}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_one_folder_that_holds_everything_is_left_out(tmp_path: Path, method: int) -> None:
    assert unpacked(zipped({"top/a": "1", "top/sub/b": "2"}, method), tmp_path) == {"a": "1", "sub/b": "2"}


def test_two_folders_stay(tmp_path: Path) -> None:
    assert unpacked(zipped({"one/a": "1", "two/b": "2"}), tmp_path) == {"one/a": "1", "two/b": "2"}


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/evil", "//host/evil", "a/../../evil", "..\\evil", "\\evil"),
        *("C:/evil", "C:evil", "top/C:/evil", "a/..", "."),
    ],
)
def test_a_member_that_climbs_out_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(DownloadError, match="refused"):
        unpacked(zipped({"top/a": "1", name: "x"}), tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "target", "zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("top/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc")
        archive.writestr("top/link/passwd", "x")
    with pytest.raises(DownloadError, match="refused, its member 'top/link'"):
        unpacked(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize(
    "files",
    [{"t/a": "file", "t/a/b": "and folder"}, {"t/a/b": "folder", "t/a": "and file"}, {"t/" + "n" * 300: "long"}],
)
def test_names_that_no_disk_can_hold_are_the_zips_fault(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(DownloadError, match="not a zip that can be unpacked"):
        unpacked(zipped(files), tmp_path)


def test_a_zip_that_the_disk_cannot_hold_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({"t/ratings.csv": "0" * 3_000_000})
    assert len(bomb) < 5000
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(9e6, 7e6, 2e6))  # type: ignore[attr-defined]
    with pytest.raises(ArtifactError, match="unpacks to 3 MB and 2 MB are free"):
        unpacked(bomb, tmp_path)
    assert list((tmp_path / "zip" / "target").iterdir()) == []


def test_a_member_called_stage_json_does_not_pass_for_ours(get: Get, tmp_path: Path) -> None:
    source = tmp_path / "given.zip"
    source.write_bytes(zipped(CSV_FILES | {"ml-latest-small/stage.json": "{}"}))
    done = get(source=source)
    assert done.files == ["movies.csv", "ratings.csv"]
    Artifacts(tmp_path / "artifacts").raw("ml-latest-small").record().check()


SEEDS = [zipped(CSV_FILES, method) for method in (0, 8, 12, 14)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=4)), min_size=1, max_size=3)
)
def test_a_damaged_zip_is_refused_or_harmless(tmp_path: Path, seed: bytes, damage: list[tuple[int, bytes]]) -> None:
    """Bytes overwritten or taken out, counted from the end, where the table of contents is."""
    content = bytearray(seed)
    for place, put in damage:
        at = len(content) - 1 - place % len(content)
        content[at : at + max(1, len(put))] = put
        content = content or bytearray(b"x")
    work = tmp_path / "work"
    try:
        unpacked(bytes(content), work)
    except (DownloadError, ArtifactError):
        pass
    finally:
        shutil.rmtree(work)
    assert list(tmp_path.iterdir()) == []


# ── names and options ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_shows_every_set(mfcli: Runner) -> None:
    shown = mfcli("download", "--list")
    assert (shown.returncode, shown.stderr) == (0, "")
    for name, entry in CATALOGUE.items():
        (line,) = [line for line in shown.stdout.splitlines() if line.split()[:1] == [name]]
        for text in (f"{entry.ratings:,}", f"{entry.megabytes:g} MB", entry.md5 or "beside it"):
            assert text in line
        (names,) = re.findall(rf"^(.*):\n  {re.escape(entry.licence)}$", shown.stdout, re.MULTILINE)
        assert name in names.split(", ")
    assert "synthetic" in shown.stdout


def test_the_list_as_json_has_addresses_and_layouts(mfcli: Runner, tmp_path: Path) -> None:
    shown = mfcli("download", "--list", "--json")
    listed = {entry["name"]: entry for entry in json.loads(shown.stdout)}
    assert set(CATALOGUE) <= set(listed)
    assert listed["ml-1m"]["address"] == "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
    assert listed["ml-1m"]["layout"]["separator"] == "::"
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ml-2m",), ("'ml-2m'", "ml-latest-small, ", "synthetic")),
        (("../ml-1m",), ("'../ml-1m' is no name",)),
        (("synthetic", "--ratings", 999_999_999), ("--ratings 999999999", "at most 850000")),
    ],
)
def test_a_usage_error_writes_nothing(
    mfcli: Runner, tmp_path: Path, arguments: tuple[object, ...], words: tuple[str, ...]
) -> None:
    assert_refused(mfcli("download", *arguments), 2, *words)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mirror": "http://h/x", "source": Path("x.zip")}, "exclude each other"),
        ({"mirror": "files.grouplens.org"}, "is no address"),
        ({"mirror": ""}, "is no address"),
        ({"mirror": "file:///tmp"}, "is no address"),
        ({"name": "synthetic", "mirror": "http://h/x"}, "no meaning for synthetic"),
        ({"name": "synthetic", "source": Path("x.zip")}, "no meaning for synthetic"),
        ({"users": 5}, "--users is for synthetic, not for ml-latest-small"),
        ({"retries": -1}, "--retries"),
        ({"timeout": 0.0}, "--timeout"),
    ],
)
def test_options_that_do_not_go_together(get: Get, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get(**options)


def test_the_seed_of_the_other_commands_does_not_matter_to_a_published_set(get: Get, archive: Path) -> None:
    get(source=archive, seed=7)
    assert get(seed=8).already_there
