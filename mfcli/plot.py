"""``mfcli plot``: figures that say how a run learnt and how well it predicts."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

from mfcli.arrays import Float32s, Float64s
from mfcli.artifacts import Artifacts
from mfcli.atomic import atomic_file, output_file
from mfcli.config.plot import PlotConfig
from mfcli.data.ratings import Ratings
from mfcli.errors import ArtifactError, UsageError
from mfcli.figures import curves, ratings
from mfcli.figures.calibration import calibration
from mfcli.figures.comparison import Compared, comparison
from mfcli.figures.curves import History
from mfcli.figures.item_map import item_map
from mfcli.figures.page import Picture, Section, page
from mfcli.figures.search import read_trials
from mfcli.figures.search import search as draw_search
from mfcli.figures.sections import evaluation_section, made_section, training_section
from mfcli.figures.segments import segments as draw_segments
from mfcli.figures.style import Draw, svg_for_page, write_figure
from mfcli.judging.evaluation_file import FILE as EVALUATION
from mfcli.judging.evaluation_file import read_evaluation
from mfcli.models.bootstrap import Groups
from mfcli.models.history import FILE as HISTORY
from mfcli.models.history import Learnt, read_epochs
from mfcli.models.measures import MEASURES
from mfcli.models.metrics import errors, mae, rmse
from mfcli.models.run import SEARCH, TrainedRun, open_run
from mfcli.models.segments import Segment, segments
from mfcli.progress import Progress
from mfcli.record import Record


@dataclass(frozen=True)
class Plotted:
    """The result: the files written, by the figure's name."""

    run: str
    files: dict[str, Path]


def plot(config: PlotConfig, progress: Progress | None = None) -> Plotted:
    """Draw every figure of a run; with ``compare``, also the learning curves of several runs in one.

    Where nothing is held out, figures of predictions are left out, unless those of another part are asked for.

    Raises:
        ArtifactError: run or data are absent, damaged or not of each other.
        UsageError: the folder for the figures is a file.
    """
    artifacts, progress = Artifacts(config.dir), progress or Progress()
    if config.output is not None:
        artifacts.require_outside(config.output)
    trained = open_run(artifacts, config.run, note=progress.note)
    part = None
    if config.part == "test" and not trained.prepared.has("test"):
        progress.note(
            f"nothing is held out of run '{config.run}': no figures of its predictions are drawn "
            "(--part train draws those of what it has learnt from)"
        )
    else:
        part = trained.prepared.part(config.part)
    predicted = None if trained.model.of_clicks or part is None else _predicted(trained, part)
    draws = _figures(config, trained, part, predicted)
    if config.compare:
        draws["compare"] = _comparison(config, artifacts, trained)
        draws |= _errors_compared(config, artifacts, trained, part)
    if config.output is not None:
        if config.output.exists() and not config.output.is_dir():
            raise UsageError(f"--output {config.output}: not a folder")
        written = _write(config, draws, config.output)
        return Plotted(config.run, written | _report(config, draws, trained, part, predicted, config.output))
    stage = artifacts.plots(config.run)
    wait, libraries = config.lock_timeout, ("matplotlib",)
    with trained.locked(wait), stage.lock(wait), stage.replace(config, _inputs(trained), libraries=libraries) as draft:
        written = _write(config, draws, draft.path)
        report = _report(config, draws, trained, part, predicted, trained.record.path)
    return Plotted(config.run, {name: stage.path / path.name for name, path in written.items()} | report)


def _inputs(trained: TrainedRun) -> dict[str, str]:
    """What all that is said of the run is made from: name -> SHA-256."""
    return {"model": trained.record.fingerprint, "data": trained.prepared.fingerprint}


def _learnt_from(trained: TrainedRun) -> tuple[str, bool]:
    """The data that a run has learnt from, and whether from all parts of them."""
    return trained.prepared.fingerprint, trained.prepared.whole


def _figures(
    config: PlotConfig, trained: TrainedRun, part: Ratings | None, predicted: Float32s | None
) -> dict[str, Draw]:
    """Every figure of a run by its name; none of predictions where none of the part's ratings are predicted."""
    history, _ = _learnt(config.run, trained.record)
    draws: dict[str, Draw] = {
        "learning-curves": lambda ax: curves.learning_curves(ax, history),
        "item-map": lambda ax: item_map(ax, trained.model, _titles(trained)),
    }
    if SEARCH in trained.record.files:
        trials = read_trials(trained.record.read(SEARCH).decode(), history.validation_measure)
        draws["search"] = lambda ax: draw_search(ax, trials, history.validation_measure)
    if not trained.model.of_clicks:
        draws["rating-histogram"] = lambda ax: ratings.rating_histogram(ax, trained.prepared.facts)
    if part is None or predicted is None:
        return draws
    actual = part.ratings
    deviations = trained.model.deviations(part.users, part.items, part.timestamps)
    if deviations is not None:
        draws["calibration"] = lambda ax: calibration(ax, actual, predicted, deviations, config.part)
    return draws | {
        "segments": lambda ax: draw_segments(
            ax, _segments(trained, part, errors(actual, predicted), deviations), rmse(actual, predicted), config.part
        ),
        "predicted-vs-actual": lambda ax: ratings.predicted_against_actual(ax, actual, predicted, config.part),
        "error-by-rating": lambda ax: ratings.error_by_rating(ax, actual, predicted, config.part),
    }


def _predicted(trained: TrainedRun, part: Ratings) -> Float32s:
    """(n,) what a run predicts of n ratings."""
    return trained.model.predict(part.users, part.items, part.timestamps)


def _segments(trained: TrainedRun, part: Ratings, off: Float64s, deviations: Float32s | None) -> list[Segment]:
    """The segments of n ratings, whose predictions are (n,) off."""
    train, genres = trained.prepared.part("train"), trained.prepared.items["genres"].to_pylist()
    return segments(part, train, genres, off, Groups.of(part.users), deviations)


def _titles(trained: TrainedRun) -> list[str]:
    """What the items are called, by row: their ids where they have no title."""
    titles, ids = (trained.prepared.items[name].to_pylist() for name in ("title", "id"))
    return [title or str(one) for title, one in zip(titles, ids, strict=True)]


def _comparison(config: PlotConfig, artifacts: Artifacts, trained: TrainedRun) -> Draw:
    names = dict.fromkeys(name for name in config.compare if name != config.run)
    first = _learnt(config.run, trained.record)
    several = [first, *(artifacts.run(name).consistent(functools.partial(_learnt, name)) for name in names)]
    histories = [history for history, _ in several]
    for history in histories:
        if history.validation_measure != histories[0].validation_measure:
            raise UsageError(f"--compare {history.run}: one run learnt from clicks, the other from ratings")
    others = {history.run for history, data in several if data != first[1]}
    return lambda ax: curves.compare_runs(ax, histories, others)


def _errors_compared(
    config: PlotConfig, artifacts: Artifacts, trained: TrainedRun, part: Ratings | None
) -> dict[str, Draw]:
    """The errors of the runs that learnt from the same part of the same data and predict ratings, if there are others.

    One that was refitted has learnt from all parts.
    """
    if trained.model.of_clicks or part is None:
        return {}
    names = [name for name in dict.fromkeys(config.compare) if name != config.run]
    others = [other for name in names if _learnt_from(other := open_run(artifacts, name)) == _learnt_from(trained)]
    first, *rest = (errors(part.ratings, _predicted(one, part)) for one in (trained, *others))
    groups = Groups.of(part.users)
    runs = [Compared.of(config.run, first, groups, None)]
    for other, one in zip(others, rest, strict=True):
        runs.append(Compared.of(other.record.name, one, groups, first))
    return {"compare-errors": lambda ax: comparison(ax, runs, config.part)} if others else {}


def _learnt(run: str, record: Record) -> tuple[History, str | None]:
    """How a run learnt, and the fingerprint of the data that it learnt from."""
    learnt = record.told(Learnt)
    train, validation = MEASURES[learnt.train_measure], MEASURES[learnt.validation_measure]
    epochs = record.read_as(HISTORY, lambda content: read_epochs(content, f"train_{train.key}"))
    history = History(run, learnt.epoch_name, learnt.averages_samples, train, validation, epochs)
    return history, record.inputs.get("data")


def _write(config: PlotConfig, draws: dict[str, Draw], folder: Path) -> dict[str, Path]:
    """Write every figure into the folder; the files by the figures' names."""
    files = {name: folder / f"{name}.{config.format}" for name in draws}
    for name, draw in draws.items():
        with output_file(files[name]) as file:
            write_figure(draw, file, config.format, config.dpi)
    return files


def _report(
    config: PlotConfig,
    draws: dict[str, Draw],
    trained: TrainedRun,
    part: Ratings | None,
    predicted: Float32s | None,
    folder: Path,
) -> dict[str, Path]:
    """Write the page into the folder, if it is wanted; its path."""
    if not config.report:
        return {}
    record, facts = trained.record, trained.prepared.facts
    more = f"mfcli evaluate --run {config.run}"
    unknown, found = f"Not evaluated yet. This tells how good it is: {more}", None
    if not trained.prepared.has("test"):
        unknown = "Nothing is held out to judge it by."
    elif part is not None and predicted is not None and config.part != "train":
        found = {"rmse": rmse(part.ratings, predicted), "mae": mae(part.ratings, predicted)}
        unknown = (
            f"On {len(part):,} ratings of the {config.part} part. "
            f"This adds intervals, what it has to beat, and lists: {more} --top 10"
        )
    tallest_last = sorted(draws, key=lambda name: name == "segments")  # else it leaves a gap beside the others
    text = page(
        f"Run '{config.run}' on {facts.dataset}",
        f"Solver {record.config.get('solver')}, {record.results['factors']} factors.",
        [
            evaluation_section(_evaluation(trained), unknown, found),
            Section("Figures", [Picture(*svg_for_page(draws[name])) for name in tallest_last]),
            training_section(record, facts),
            made_section(record, trained.prepared.record, matplotlib.__version__),
        ],
    )
    written = atomic_file if config.output is None else output_file
    with written(folder / "report.html") as file:
        file.write(text.encode("utf-8", "backslashreplace"))  # of paths that are not UTF-8
    return {"report": folder / "report.html"}


def _evaluation(trained: TrainedRun) -> dict[str, Any] | None:
    """What the run's evaluation.json says, if it is of this model and these data."""
    try:
        found = read_evaluation(trained.record.path / EVALUATION)
    except ArtifactError:
        return None
    return found.result if found.inputs.items() >= _inputs(trained).items() else None
