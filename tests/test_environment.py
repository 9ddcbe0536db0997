"""Whatever surrounds the process: displays, homes, fonts, memory, names of files, options as others write them."""

import codecs
import errno
import json
import os
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mfcli.cli.memory import NEEDED, is_lack_of_memory
from mfcli.option import at_home
from tests.conftest import Runner
from tests.test_exit_codes import assert_error

RATINGS = "user,item,rating\n" + "".join(f"{u},{i},{(u * i) % 5 + 1}\n" for u in range(1, 9) for i in range(1, 9))
LATIN = os.fsdecode(b"caf\xe9 \xff")  # a name that is not UTF-8
BROKEN = "no colon\naxes.grid: maybe\nbackend: none\nfont.family: NoSuchFont\ntext.usetex: True\nfigure.dpi: 7\n"
TRAIN = ("train", "--epochs", 1, "--factors", 2)


@pytest.fixture(scope="module")
def drawn(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures drawn where nothing is odd."""
    from mfcli.config.plot import PlotConfig
    from mfcli.plot import plot

    folder = tmp_path_factory.mktemp("drawn")
    plot(PlotConfig(dir=finished, output=folder))
    return folder


@pytest.mark.parametrize(
    ("settings", "environment"),
    [
        (BROKEN.encode(), {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "HOME": "/dev/null"}),
        (b"\xff\xfe\0", {"MPLBACKEND": "none", "MPLCONFIGDIR": "/dev/null/x", "MATPLOTLIBRC": "matplotlibrc"}),
    ],
    ids=["notebook", "binary"],
)
def test_plot_draws_the_same_figures_whoever_has_set_matplotlib_up(
    artifacts: Path, drawn: Path, process: Runner, settings: bytes, environment: dict[str, str]
) -> None:
    (artifacts.parent / "matplotlibrc").write_bytes(settings)
    done = process("plot", "--output", "figures", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    made = {file.name: file.read_bytes() for file in (artifacts.parent / "figures").iterdir()}
    assert made == {file.name: file.read_bytes() for file in drawn.iterdir()}


def test_names_that_are_not_utf_8_are_as_good_as_others(mfcli: Runner, tmp_path: Path) -> None:
    folder = tmp_path / f"parts {LATIN}"
    folder.mkdir()
    for part in "ab":
        (folder / f"{part} {LATIN}.csv").write_text(RATINGS.replace("\n", f"\n{part}")[: -len(part)])
    options = ("--dir", LATIN, "--json")
    drawn = ("plot", "--report", "--output", f"plots {LATIN}")
    for command in (("prepare", "--ratings", folder), TRAIN, ("evaluate",), drawn):
        done = mfcli(*command, *options)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
    assert mfcli("recommend", "--user", "a1", "--dir", LATIN, "--output", f"{LATIN}.csv").returncode == 0
    assert {LATIN, f"plots {LATIN}", f"{LATIN}.csv"} <= set(os.listdir(tmp_path))
    for command, code in ((("prepare", "--ratings"), 4), (("train", "--config"), 2), (("download", "--from"), 5)):
        assert_error(mfcli(*command, f"no {LATIN}"), code, "no caf", "such file")


def limited(megabytes: int) -> dict[str, object]:
    """What gives a process so much address space and no more."""
    size = megabytes * 10**6
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))}


@pytest.mark.parametrize(("command", "megabytes"), [("train", NEEDED["train"] - 200), ("evaluate", 300)])
def test_too_little_memory_is_one_line(artifacts: Path, process: Runner, command: str, megabytes: int) -> None:
    assert_error(process(command, **limited(megabytes)), 3, f"{command} needs", f"the limit is {megabytes}: raise")
    assert process("--help", **limited(megabytes)).returncode == 0


def test_memory_that_ends_on_the_way_is_one_line(mfcli: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> None:
        np.empty(2**55)

    monkeypatch.setattr("mfcli.evaluate.evaluate", greedy)
    assert_error(mfcli("evaluate"), 3, "out of memory: nothing was changed")


@pytest.mark.parametrize("error", [pa.ArrowMemoryError("malloc of size 64 failed"), OSError(errno.ENOMEM, "no")])
def test_a_file_is_not_blamed_where_memory_ends(
    artifacts: Path, mfcli: Runner, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def greedy(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pyarrow.csv.read_csv", greedy)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read", greedy)
    for command in ("prepare", "evaluate"):
        assert_error(mfcli(command), 3, "out of memory: nothing was changed")


def test_lack_of_memory_is_told_from_bugs() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_lack_of_memory(caught.value)
    assert is_lack_of_memory(ImportError("libtorch_cpu.so: failed to map segment from shared object"))
    assert not is_lack_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_lack_of_memory(ImportError("No module named 'torch'"))


def test_errors_that_are_made_of_each_other_end() -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__context__ = second, first
    assert not is_lack_of_memory(first)
    second.__cause__ = MemoryError()
    assert is_lack_of_memory(first)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", codecs.BOM_UTF8 + b'dir = "~/here"\r\n[train]\r\nepochs = 1\r\n'),
        ("a.json", codecs.BOM_UTF8 + b'{"dir": "~/here", "train": {"epochs": 1}}'),
    ],
)
def test_files_of_options_may_have_a_byte_order_mark_and_a_home(
    mfcli: Runner, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "ratings.csv").write_text(RATINGS)
    home = {"HOME": str(tmp_path)}
    assert mfcli("prepare", "--dir=~/here", "--ratings=~/ratings.csv", env=home).returncode == 0
    done = mfcli("train", f"--config=~/{name}", "--factors", 2, "--json", env=home)
    assert json.loads(done.stdout)["epochs"] == 1
    assert mfcli("evaluate", env=home | {"MFCLI_DIR": "~/here"}).returncode == 0
    assert sorted(os.listdir(tmp_path)) == sorted(["here", name, "ratings.csv"])


def test_a_tilde_that_is_nobodys_home_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    names = ("~", "~/x", "x/~", "~nobody-has-this-name/x", "-")
    assert [str(at_home(Path(name))) for name in names] == ["/home/me", "/home/me/x", *names[2:]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("epochs = 2\n".encode("utf-16"), "not UTF-8 text"),
        (b"epochs = 'many'\n", "--epochs: 'many' is not a whole number"),
        (b"[train]\nfactors = -1\n", "--factors: -1 is not in"),
        (b"epoch = 2\n", "no option is called 'epoch' (is epochs meant?)"),
        (b"epochs =\n", "Invalid value (at line 1"),
    ],
)
def test_a_faulty_file_of_options_is_named(mfcli: Runner, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    assert_error(mfcli("train", "--config", "a.toml"), 2, "--config a.toml: ", words)
