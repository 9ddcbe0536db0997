"""The artifact directory: whole results only, checked when read, one writer at a time."""

import errno
import json
import multiprocessing
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mfcli.artifacts import Artifacts
from mfcli.atomic import atomic_file, from_json, output_file, sha256, to_json
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.errors import ArtifactError
from mfcli.record import Record
from mfcli.stage import Stage
from mfcli.stage_file import STAGE_FILE, seal
from tests.conftest import Runner


def stage_at(path: Path) -> Stage:
    return Stage(path, PrepareConfig())


def commit(stage: Stage, text: str, **files: str) -> None:
    """Replace a stage by one of two files that must go together, and more."""
    with stage.lock(10), stage.replace(PrepareConfig(), {"from": text}) as draft:
        for name, content in {"a": text, "b": text, **files}.items():
            (draft.path / name).write_text(content)
        draft.results["text"] = text


def read(record: Record) -> str:
    """What :func:`commit` wrote, after comparing everything with everything."""
    texts = {record.read("a").decode(), record.read("b").decode(), record.results["text"], record.inputs["from"]}
    assert len(texts) == 1, texts
    return texts.pop()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return stage_at(tmp_path / "data")


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_appears_whole_with_the_permissions_of_any_other(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "new" / "file") as file:
            file.write(b"whole")
            assert not (tmp_path / "new" / "file").exists()
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "file").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == 0o640
    assert os.listdir(tmp_path / "new") == ["file"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_file_as_it_was_and_nothing_beside_it(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    (tmp_path / "file").write_text("before")

    def write() -> None:
        with atomic_file(tmp_path / "file") as file:
            file.write(b"after")
            raise failure

    with pytest.raises(failure):
        write()
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "before"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with output_file(tmp_path / "link") as file:
        file.write(b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"content"


def test_a_device_or_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with output_file(tmp_path / "pipe") as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(OSError, match="No space left") as caught, output_file(Path("/dev/full")) as file:
        file.write(b"x")
    assert caught.value.filename == "/dev/full"


def test_json_is_the_same_text_for_the_same_value_and_has_no_nan() -> None:
    assert to_json({"b": 1, "a": "é\udce9"}) == to_json(json.loads(to_json({"b": 1, "a": "é\udce9"})))
    with pytest.raises(ValueError, match="JSON"):
        to_json(float("nan"))
    for text in ("NaN", "[1, -Infinity]", "1e999"):
        with pytest.raises(ValueError, match="is no number"):
            from_json(text)


def test_a_number_that_no_json_holds_is_damage_not_a_bug(stage: Stage) -> None:
    commit(stage, "one")
    body = {**stage.record().body, "config": {"seed": float("nan")}}
    (stage.path / STAGE_FILE).write_text(json.dumps(body | {"seal": seal(body)}))
    with pytest.raises(ArtifactError, match=r"stage\.json is damaged"):
        stage.record()


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_says_what_made_it_and_what_it_holds(stage: Stage) -> None:
    commit(stage, "one", **{"c": "more"})
    record = stage.record()
    assert record.body["command"] == "mfcli prepare"
    assert record.files == {name: sha256(stage.path / name) for name in "abc"}
    assert record.inputs == {"from": "one"}
    assert set(record.body["versions"]) >= {"mfcli", "python", "numpy"}
    record.check()


def test_a_stage_says_the_command_that_makes_it_again_where_it_lies_now(tmp_path: Path) -> None:
    made = TrainConfig(dir=tmp_path / "before", run="k8", solver="als", factors=8, resume=True, lock_timeout=3)
    run = Artifacts(made.dir).run(made.run)
    with run.lock(1), run.replace(made, {}):
        pass
    made.dir.rename(tmp_path / "a b")
    moved = Artifacts(tmp_path / "a b").run("k8")
    place = f"--dir '{tmp_path}/a b'"
    assert moved.command == f"mfcli train --run k8 {place}"
    assert moved.record().made_by == f"mfcli train --run k8 --solver als --factors 8 {place}"


def test_a_stage_made_by_options_that_are_no_more_still_names_a_command(stage: Stage) -> None:
    with stage.lock(1), stage.replace(TrainConfig(seed=1), {}):
        pass
    assert stage.record().made_by == "mfcli prepare"


def test_the_fingerprint_is_of_the_files_alone(tmp_path: Path) -> None:
    one, same, other = (stage_at(tmp_path / name) for name in "abc")
    commit(one, "x")
    commit(same, "x")
    commit(other, "y")
    assert one.record().fingerprint == same.record().fingerprint != other.record().fingerprint


def test_a_failure_while_writing_keeps_the_previous_stage(stage: Stage) -> None:
    commit(stage, "old")

    def fail() -> None:
        with stage.lock(1), stage.replace(PrepareConfig(), {}) as draft:
            (draft.path / "a").write_text("new")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        fail()
    assert caught.value.filename == str(stage.path)
    assert stage.consistent(read) == "old"
    assert sorted(os.listdir(stage.path.parent)) == [".data.lock", "data"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", [STAGE_FILE, "a"])
@pytest.mark.parametrize("damage", [_cut, _alter, _folder, Path.unlink])
def test_damage_of_any_kind_is_seen_and_the_next_command_named(
    stage: Stage, name: str, damage: Callable[[Path], None]
) -> None:
    commit(stage, "one")
    damage(stage.path / name)
    with pytest.raises(ArtifactError, match="run `mfcli prepare`"):
        stage.consistent(read)
    with pytest.raises(ArtifactError, match="run `mfcli prepare`"):
        stage.record().check()


@pytest.mark.parametrize("text", ["", "[]", "1", '"x"', "null", "{}", '{"seal": 1}', "[" * 100_000, '{"seal": "', "\0"])
def test_a_stage_file_of_any_content_is_damage_not_a_bug(stage: Stage, text: str) -> None:
    commit(stage, "one")
    (stage.path / STAGE_FILE).write_text(text)
    with pytest.raises(ArtifactError, match=r"stage\.json is .*: run `mfcli prepare` again"):
        stage.record()


def test_looking_for_a_stage_that_is_not_there_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not there yet: run `mfcli train --run r --dir '.*a b'`"):
        Artifacts(tmp_path / "a b").run("r").record()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("complete", [True, False])
def test_a_replacement_cut_short_is_finished_or_undone(stage: Stage, complete: bool) -> None:
    """As a SIGKILL between the two renames leaves it; without a stage.json the new one is no result."""
    commit(stage, "new")
    stage.path.rename(stage.path.with_name(".data.new"))
    commit(stage_at(stage.path.with_name("other")), "old")
    stage.path.with_name("other").rename(stage.path.with_name(".data.old"))
    if not complete:
        (stage.path.with_name(".data.new") / STAGE_FILE).unlink()
    assert stage.consistent(read) == ("new" if complete else "old")
    assert not list(stage.path.parent.glob(".data.[no]*"))


def test_a_data_set_whose_replacement_was_cut_short_is_listed(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    for name in ("b", "a"):
        commit(artifacts.raw(name), name)
    (tmp_path / "raw" / "a").rename(tmp_path / "raw" / ".a.old")
    assert artifacts.downloaded() == ["a", "b"]
    assert artifacts.raw("a").consistent(read) == "a"


def test_a_second_writer_waits_then_exits_3(artifacts: Path, mfcli: Runner) -> None:
    with Artifacts(artifacts).data.lock(1):
        done = mfcli("prepare", "--lock-timeout", 0.1)
    assert (done.returncode, done.stdout) == (3, "")
    assert "is being written by another mfcli (waited 0.1 s): wait for it, or raise --lock-timeout" in done.stderr
    assert mfcli("prepare", "--lock-timeout", 0.1, "-q").returncode == 0


def _replace_again_and_again(path: Path, times: int) -> None:
    for number in range(times):
        commit(stage_at(path), str(number // 2))  # every second replacement by the same bytes


def test_readers_see_whole_results_while_a_writer_replaces_them(stage: Stage) -> None:
    commit(stage, "0")
    writer = multiprocessing.get_context("spawn").Process(target=_replace_again_and_again, args=(stage.path, 60))
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(int(stage.consistent(read)))
    writer.join()
    assert writer.exitcode == 0
    assert seen == sorted(seen)
    assert stage.consistent(read) == "29"


def test_the_promoted_and_the_previous_can_change_places_again_and_again(stage: Stage) -> None:
    other = stage_at(stage.path.with_name("candidate"))
    commit(other, "one")
    stage.promote(other, other.record().fingerprint, 1)
    assert (stage.consistent(read), other.exists(), stage.previous.exists()) == ("one", False, False)
    commit(other, "two")
    stage.promote(other, other.record().fingerprint, 1)
    for now, before in (("two", "one"), ("one", "two"), ("two", "one")):
        assert (stage.consistent(read), stage.previous.consistent(read)) == (now, before)
        stage.promote(stage.previous, stage.previous.record().fingerprint, 1)


def test_what_was_made_again_meanwhile_is_not_promoted(stage: Stage) -> None:
    other = stage_at(stage.path.with_name("candidate"))
    commit(stage, "old")
    commit(other, "judged")
    judged = other.record().fingerprint
    commit(other, "another")
    with pytest.raises(ArtifactError, match="candidate was made again meanwhile: run this command again"):
        stage.promote(other, judged, 1)
    assert (stage.consistent(read), other.consistent(read)) == ("old", "another")


def test_a_promotion_replaces_nothing_but_what_it_was_judged_by(stage: Stage) -> None:
    first, second = (stage_at(stage.path.with_name(name)) for name in ("first", "second"))
    commit(first, "first")
    commit(second, "second")
    for over in (None, stage.fingerprint):
        first.promote(second, second.record().fingerprint, 1, first.fingerprint)
        with pytest.raises(ArtifactError, match="first was made again meanwhile: run this command again"):
            first.promote(first.previous, first.previous.record().fingerprint, 1, over)
        commit(second, "second")
    assert first.consistent(read) == "second"


def test_a_promotion_waits_for_who_writes(stage: Stage) -> None:
    other = stage_at(stage.path.with_name("candidate"))
    commit(stage, "old")
    commit(other, "new")
    for busy in (stage, other, stage.previous):
        with busy.lock(1), pytest.raises(ArtifactError, match=f"{busy.path} is being written by another mfcli"):
            stage.promote(other, other.record().fingerprint, 0)
    assert (stage.consistent(read), other.consistent(read)) == ("old", "new")


# ── the files of the chain ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("file", "command", "next_command"),
    [
        ("runs/default/stage.json", ("evaluate",), "mfcli train"),
        ("runs/default/model.safetensors", ("recommend", "--user", "1"), "mfcli train --factors 4 --epochs 4"),
        ("runs/default/data/stage.json", ("recommend", "--user", "1"), "mfcli train --factors 4 --epochs 4"),
        ("runs/default/data/items.parquet", ("recommend", "--user", "1"), "mfcli train --factors 4 --epochs 4"),
        ("runs/default/data/test.parquet", ("evaluate",), "mfcli train --factors 4 --epochs 4"),
        ("data/stage.json", ("train",), "mfcli prepare"),
        ("data/test.parquet", ("train",), "mfcli prepare"),
        (
            "raw/synthetic/ratings.csv",
            ("prepare",),
            "mfcli download synthetic --users 120 --items 80 --ratings 3000 --rank 2",
        ),
    ],
)
def test_every_command_refuses_damaged_input_and_names_the_command_that_mends_it(
    artifacts: Path, mfcli: Runner, file: str, command: tuple[str, ...], next_command: str
) -> None:
    before = (artifacts / file).read_bytes()
    _cut(artifacts / file)
    done = mfcli(*command)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    (named,) = re.findall("run `(.*)`", done.stderr)
    assert named == next_command
    assert mfcli(*named.split()[1:], "-q").returncode == 0
    if not file.endswith(STAGE_FILE):
        assert (artifacts / file).read_bytes() == before
    assert mfcli(*command).returncode == 0


def test_a_copy_of_a_stage_costs_no_disk_where_the_file_system_has_links(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(stage, "one")
    stage.record().copy_to(stage.path.parent / "linked")
    assert (stage.path.parent / "linked" / "a").stat().st_nlink == 2

    def no_link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    stage.record().copy_to(stage.path.parent / "copied")
    assert (stage.path.parent / "copied" / "a").stat().st_nlink == 1
    commit(stage, "two")
    for name in ("linked", "copied"):
        copy = Stage(stage.path.parent / name, stage.config)
        copy.record().check()
        assert copy.consistent(read) == "one"


def test_a_stage_that_was_replaced_meanwhile_is_not_copied(stage: Stage) -> None:
    commit(stage, "one")
    record = stage.record()
    commit(stage, "two")
    with pytest.raises(ArtifactError, match=r"a was made again meanwhile: run this command again"):
        record.copy_to(stage.path.parent / "copy")
