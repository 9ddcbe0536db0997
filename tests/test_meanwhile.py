"""Stages that are replaced, promoted, removed or on their way while somebody reads them.

Whoever reads has all of one making, or is told in one line that it was made again: nobody blames damage that is not
there, and no one misses what is only between two renames.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

import pytest

import mfcli.evaluate
import mfcli.judging.folds
import mfcli.stage
import mfcli.train
from mfcli.artifacts import Artifacts
from mfcli.config.download import DownloadConfig
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.data import given
from mfcli.download import download
from mfcli.errors import ArtifactError
from mfcli.prepare import prepare
from mfcli.record import Record
from mfcli.slot import Slot, slots
from mfcli.stage import Stage
from mfcli.train import train
from tests.conftest import Listening
from tests.test_artifacts import commit, read, stage_at


def copy(record: Record) -> str:
    folder = record.path.with_name("copy")
    record.copy_to(folder)
    return (folder / "a").read_text()


READS: dict[str, Callable[[Record], str]] = {
    "whole": lambda record: record.read("a").decode(),
    "in pieces": lambda record: record.opened("a").read().decode(),
    "made of": lambda record: record.read_as("a", bytes.decode),
    "checked": lambda record: record.check() or "one",  # type: ignore[func-returns-value]
    "copied": copy,
}
MOVES: dict[str, Callable[[Stage], object]] = {
    "replaced": lambda stage: commit(stage, "two"),
    "promoted": lambda stage: promoted_over(stage, stage_at(stage.path.with_name("other"))),
    "stepped down": lambda stage: promoted_over(stage_at(stage.path.with_name("other")), stage),
    "removed": lambda stage: shutil.rmtree(stage.path),
    "between two renames": lambda stage: stage.path.rename(Slot(stage.path).old),
}


def promoted_over(stage: Stage, place: Stage) -> None:
    for one in (stage, place):
        if not one.exists():
            commit(one, "two")
    place.promote(stage, stage.record().fingerprint, 1)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = stage_at(tmp_path / "data")
    commit(found, "one")
    return found


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
@pytest.mark.parametrize("look", READS.values(), ids=READS.keys())
def test_what_is_read_is_of_one_making_or_it_is_told(
    stage: Stage, look: Callable[[Record], str], move: Callable[[Stage], object]
) -> None:
    record, held = stage.record(), stage.record()
    held.hold()
    move(stage)
    assert look(held) == "one"
    shutil.rmtree(stage.path.with_name("copy"), ignore_errors=True)
    with pytest.raises(ArtifactError, match="data was made again meanwhile: run this command again"):
        look(record)
    with pytest.raises(ArtifactError, match="data was made again meanwhile: run this command again"):
        record.hold()
    with pytest.raises(ArtifactError, match="data was made again meanwhile"), record.unchanged():
        (stage.path / "gone").read_bytes()


def test_the_same_bytes_made_again_are_no_damage_either(stage: Stage) -> None:
    record = stage.record()
    commit(stage, "one")
    (stage.path / "a").unlink()
    with pytest.raises(ArtifactError, match="data was made again meanwhile"):
        record.read("a")
    with pytest.raises(ArtifactError, match="a: No such file or directory: run `mfcli prepare` again"):
        stage.record().read("a")


def test_a_reader_begins_anew_until_nobody_disturbs_it(stage: Stage) -> None:
    moves = [lambda: commit(stage, "one"), lambda: commit(stage, "two"), lambda: MOVES["between two renames"](stage)]

    def disturbed(record: Record) -> str:
        text = record.read("a").decode()
        if moves:
            moves.pop()()
            record.require_current()
        return text + read(record)

    assert stage.consistent(disturbed) == "oneone"
    (stage.path / "b").write_text("damaged")
    with pytest.raises(ArtifactError, match=r"b is not what stage\.json says"):
        stage.consistent(disturbed)


def test_no_reader_tries_for_ever(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mfcli.stage, "TRIES", 3)

    def disturbed(record: Record) -> None:
        commit(stage, "again")
        record.require_current()

    with pytest.raises(ArtifactError, match="data was made again meanwhile"):
        stage.consistent(disturbed)


@pytest.mark.parametrize("hidden", ["old", "promoted"])
def test_what_comes_to_its_place_while_one_looks_for_it_is_seen(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    slot, lexists = Slot(stage.path), os.path.lexists
    place: Path = getattr(slot, hidden)
    stage.path.rename(place)

    def moved(path: Path) -> bool:
        there = lexists(path)
        if path.parent == stage.path and place.exists():
            place.rename(stage.path)
        return there

    assert [one.path for one in slots(stage.path.parent)] == [stage.path]
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "lexists", moved)
        assert stage.exists()


def test_a_record_that_comes_to_its_place_after_it_was_not_there_is_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between the second rename and the end of a replacement."""
    place, opened = Slot(stage.path).old, mfcli.stage.open_regular
    stage.path.rename(place)

    def late(file: Path) -> BufferedReader:
        try:
            return opened(file)
        finally:
            if place.exists():
                place.rename(stage.path)

    monkeypatch.setattr(mfcli.stage, "open_regular", late)
    assert read(stage.record()) == "one"


# ── the commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def once(act: Callable[[], object], then: Callable[..., Any]) -> Callable[..., Any]:
    """``then``, and ``act`` before it the first time."""
    left = [act]

    def call(*arguments: Any, **named: Any) -> Any:
        if left:
            left.pop()()
        return then(*arguments, **named)

    return call


def test_prepare_does_not_mix_two_downloads(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = DownloadConfig(dir=artifacts, name="synthetic", users=60, items=50, ratings=900, rank=2, force=True)
    monkeypatch.setattr(given, "read_items", once(lambda: download(again), given.read_items))
    done = prepare(PrepareConfig(dir=artifacts))
    raw, data = Artifacts(artifacts).raw("synthetic").record(), Artifacts(artifacts).data.record()
    assert (done.ratings, done.users, done.items) == (900, 60, 50)
    assert data.inputs == {"raw/synthetic": raw.fingerprint}


def test_a_run_keeps_the_data_that_it_read(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Artifacts(artifacts).data.record()
    other = PrepareConfig(dir=artifacts, seed=5)
    monkeypatch.setattr(mfcli.train, "check_fits", once(lambda: prepare(other), mfcli.train.check_fits))
    train(TrainConfig(dir=artifacts, run="r", epochs=1, factors=2))
    record = Artifacts(artifacts).run("r").record()
    record.check()
    assert record.inputs["data"] == before.fingerprint != Artifacts(artifacts).data.record().fingerprint


def test_folds_are_cut_of_the_data_that_were_there_first(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, config = mfcli.judging.folds, EvaluateConfig(dir=artifacts, cross_validate=2)
    own = PrepareConfig(dir=artifacts, ratings=(artifacts / "raw/synthetic/ratings.csv",))  # of which no more is known
    monkeypatch.setattr(module, "split", once(lambda: prepare(own), module.split))
    first = mfcli.evaluate.cross_validate(config).runs[0].measures["RMSE"]
    prepare(PrepareConfig(dir=artifacts))
    (artifacts / "runs/default" / module.FILE).unlink()
    assert mfcli.evaluate.cross_validate(config).runs[0].measures["RMSE"] == first


def test_a_line_of_all_runs_is_of_one_making(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = TrainConfig(dir=artifacts, solver="als", factors=2, epochs=1)
    monkeypatch.setattr(mfcli.evaluate, "examine", once(lambda: train(again), mfcli.evaluate.examine))
    (line,) = mfcli.evaluate.evaluate_all(EvaluateConfig(dir=artifacts)).runs
    kept = json.loads((artifacts / "runs/default/evaluation.json").read_bytes())
    assert (line.solver, line.settings, line.rmse) == ("als", "factors 2, epochs 1", kept["rmse"])


def test_the_seconds_of_a_line_are_of_the_run_that_was_judged(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(artifacts / "runs/default", artifacts / "runs/later")
    mfcli.evaluate.evaluate(EvaluateConfig(dir=artifacts))
    (artifacts / "runs/default/timing.json").write_text('{"seconds": 1000}')
    again = TrainConfig(dir=artifacts, solver="als", factors=2, epochs=1)
    monkeypatch.setattr(mfcli.evaluate, "examine", once(lambda: train(again), mfcli.evaluate.examine))
    lines = {one.run: one for one in mfcli.evaluate.evaluate_all(EvaluateConfig(dir=artifacts)).runs}
    assert (lines["default"].solver, lines["default"].seconds) == ("adam", 1000)


def test_a_run_that_is_promoted_meanwhile_has_no_line(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Artifacts(artifacts)
    shutil.copytree(artifacts / "runs/default", artifacts / "runs/candidate")

    def promote() -> None:
        root.run("default").promote(root.run("candidate"), root.run("candidate").record().fingerprint, 1)

    monkeypatch.setattr(mfcli.evaluate, "examine", once(promote, mfcli.evaluate.examine))
    runs = mfcli.evaluate.evaluate_all(EvaluateConfig(dir=artifacts)).runs
    assert [one.run for one in runs] == ["default"]


def test_what_is_promoted_over_while_it_is_judged_is_told(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(artifacts / "runs/default", artifacts / "runs/candidate")
    gone = once(lambda: shutil.rmtree(artifacts / "runs/candidate"), mfcli.evaluate.examine)
    monkeypatch.setattr(mfcli.evaluate, "examine", gone)
    with pytest.raises(ArtifactError, match="runs/candidate was made again meanwhile: run this command again"):
        mfcli.evaluate.evaluate(EvaluateConfig(dir=artifacts, run=("candidate",), promote="default"))
    assert not Artifacts(artifacts).run("default").previous.exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ArtifactError("it is written to")])
def test_what_is_promoted_stays_so_where_its_result_cannot_be_kept(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shutil.copytree(artifacts / "runs/default", artifacts / "runs/candidate")
    written, progress = mfcli.evaluate.write_evaluation, Listening()

    def full(path: Path, *arguments: Any) -> None:
        if path.parent.name == "default":
            raise error
        written(path, *arguments)

    monkeypatch.setattr(mfcli.evaluate, "write_evaluation", full)
    config = EvaluateConfig(dir=artifacts, run=("candidate",), promote="default")
    assert mfcli.evaluate.evaluate(config, progress).promoted == "default"
    (warning,) = progress.warnings
    assert warning.startswith("the result is not kept")
    assert warning.endswith(error.args[-1])


@pytest.mark.parametrize("move", ["promoted", "removed", "retrained"])
def test_folds_of_a_run_that_is_gone_are_kept_nowhere(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    root, module, progress = Artifacts(artifacts), mfcli.judging.folds, Listening()
    candidate = root.run("candidate")
    shutil.copytree(artifacts / "runs/default", candidate.path)
    moves: dict[str, Callable[[], object]] = {
        "promoted": lambda: root.run("default").promote(candidate, candidate.record().fingerprint, 1),
        "removed": lambda: shutil.rmtree(candidate.path),
        "retrained": lambda: train(TrainConfig(dir=artifacts, run="candidate", solver="als", factors=2, epochs=1)),
    }
    monkeypatch.setattr(module, "split", once(moves[move], module.split))
    config = EvaluateConfig(dir=artifacts, run=("candidate",), cross_validate=2)
    assert mfcli.evaluate.cross_validate(config, progress).runs[0].solver == "adam"
    assert progress.warnings == ["run 'candidate' was made again or removed meanwhile: its folds are not kept"] * 2
    assert candidate.path.exists() == (move == "retrained")
    assert not list(artifacts.rglob(module.FILE))
