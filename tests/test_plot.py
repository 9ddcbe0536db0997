"""The figures: written, the same twice, right in what they show, and drawn without a display."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfcli.artifacts import Artifacts
from mfcli.config.plot import PlotConfig
from mfcli.config.train import TrainConfig
from mfcli.data.facts import Facts
from mfcli.errors import ArtifactError, UsageError
from mfcli.figures.curves import POINTS, History, compare_runs, learning_curves
from mfcli.figures.ratings import error_by_rating, predicted_against_actual, rating_histogram
from mfcli.figures.style import STYLE
from mfcli.models.measures import RMSE
from mfcli.plot import plot
from tests.conftest import Runner, clean_environment, run_mfcli

FIGURES = ("error-by-rating", "item-map", "learning-curves", "predicted-vs-actual", "rating-histogram", "segments")
MAGIC = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF-"}


FACTS = {"epoch_name": "epoch", "averages_samples": False, "train_measure": RMSE, "validation_measure": RMSE}


def a_history(
    epochs: int, *, run: str = "mine", validation: bool = True, batches: int = 20, best: int = 3, **facts: Any
) -> History:
    """Training gets better and better; validation does until the best epoch, where it is 0.9."""
    records = [
        {
            "epoch": epoch,
            "train_rmse": 1.0 / epoch,
            "validation_rmse": 0.9 + 0.1 * abs(epoch - best) if validation else None,
            "batch_rmse": np.linspace(1.2, 0.8, batches).tolist(),
        }
        for epoch in range(1, epochs + 1)
    ]
    return History(run=run, epochs=records, **FACTS | facts)


@pytest.fixture
def ax() -> Axes:
    with rc_context(STYLE):
        return Figure(layout="constrained").subplots()


def legend(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.figure.legends[0].get_texts()]


def ticks(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_xticklabels()]


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_every_figure_is_written_and_the_same_twice(finished: Path, tmp_path: Path, kind: str) -> None:
    drawn = []
    for name in ("a", "b"):
        result = plot(PlotConfig(dir=finished, format=kind, output=tmp_path / name, dpi=40))
        assert result.files == {f: tmp_path / name / f"{f}.{kind}" for f in result.files}
        assert sorted(result.files) == sorted(FIGURES)
        drawn.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert len(drawn[0]) == len(FIGURES)
    assert drawn[0] == drawn[1]
    assert all(content.startswith(MAGIC[kind]) for content in drawn[0].values())


def test_without_output_they_go_into_the_run_with_a_record(artifacts: Path, mfcli: Runner) -> None:
    before = Artifacts(artifacts).run("default").record().body
    done = mfcli("plot", "--json", "--dpi", 40)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {name: Path(file).name for name, file in result["files"].items()} == {f: f"{f}.png" for f in FIGURES}
    record = Artifacts(artifacts).plots("default").record()
    assert sorted(record.files) == [f"{f}.png" for f in FIGURES]
    record.check()
    run = Artifacts(artifacts).run("default").record()
    assert run.body == before
    run.check()


def test_no_display_is_needed_and_pyplot_is_never_imported(finished: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mfcli.config.plot import PlotConfig; from mfcli.plot import plot\n"
        f"plot(PlotConfig(dir=Path({str(finished)!r}), output=Path({str(tmp_path)!r}), compare=('default',), dpi=40))\n"
        "print([m for m in ('matplotlib.pyplot', 'torch', 'pandas', 'sklearn', 'tkinter') if m in sys.modules])"
    )
    environment = {k: v for k, v in clean_environment().items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_runs_can_be_compared(artifacts: Path) -> None:
    from mfcli.train import train

    train(TrainConfig(dir=artifacts, run="one", factors=2, epochs=1))
    result = plot(PlotConfig(dir=artifacts, compare=("one", "default", "one"), dpi=40))
    assert sorted(result.files) == ["compare", "compare-errors", *FIGURES]
    assert result.files["compare"].read_bytes().startswith(MAGIC["png"])
    assert sorted(plot(PlotConfig(dir=artifacts, run="one", dpi=40)).files) == sorted(FIGURES)


def test_a_run_to_compare_with_that_is_not_there_leaves_the_old_figures(artifacts: Path) -> None:
    plot(PlotConfig(dir=artifacts, dpi=40))
    with pytest.raises(ArtifactError, match=r"runs/nope is not there yet"):
        plot(PlotConfig(dir=artifacts, compare=("nope",)))
    Artifacts(artifacts).plots("default").record().check()


def test_an_output_folder_that_is_a_file_is_a_usage_error(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        plot(PlotConfig(dir=finished, output=tmp_path / "file"))


@pytest.fixture(scope="module")
def of_my_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings in all shades between -10 and 10, a name that is no mathematics, no validation part, one epoch."""
    from mfcli.train import train

    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    pairs = rng.permutation(20 * 15)[:200]
    lines = [
        f"{pair // 15},{pair % 15},{rating:.5f}" for pair, rating in zip(pairs, rng.uniform(-10, 10, 200), strict=True)
    ]
    (folder / "my $\\foo$ 평점.csv").write_text("\n".join(["user,item,rating", *lines]) + "\n", "utf-8")
    done = run_mfcli("prepare", "--ratings", "my $\\foo$ 평점.csv", "--validation-fraction", 0, cwd=folder)
    assert done.returncode == 0, done.stderr
    train(TrainConfig(dir=folder / "artifacts", factors=2, epochs=1))
    return folder / "artifacts"


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_any_ratings_and_any_name_can_be_drawn(of_my_own: Path, tmp_path: Path, kind: str) -> None:
    """Warnings, as of letters that the font lacks, would be errors here."""
    plot(PlotConfig(dir=of_my_own, format=kind, output=tmp_path, dpi=40))
    assert len(list(tmp_path.iterdir())) == len(FIGURES)


# ── what they show ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_learning_curves_show_every_epoch_and_mark_the_best(ax: Axes) -> None:
    history = a_history(8)
    learning_curves(ax, history)
    batches, train, validation, line, star = ax.get_lines()
    assert train.get_ydata() == pytest.approx([h["train_rmse"] for h in history.epochs])
    assert validation.get_ydata() == pytest.approx([h["validation_rmse"] for h in history.epochs])
    assert list(train.get_xdata()) == list(validation.get_xdata()) == list(range(1, 9))
    assert line.get_xdata() == [3, 3]
    assert (*star.get_xdata(), *star.get_ydata()) == (3, 0.9)
    assert "best, and kept: 0.9000 at epoch 3" in legend(ax)
    assert batches.get_ydata() == pytest.approx(np.concatenate([h["batch_rmse"] for h in history.epochs]))
    assert batches.get_xdata()[19] == 1, "an epoch's last batch stands where the epoch does"
    assert (batches.get_alpha() or 1) < 0.3
    assert train.get_color() != validation.get_color()
    assert ax.get_title() == "Learning curves of run 'mine'"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "RMSE (rating points)")


def test_the_figure_speaks_of_epochs_as_the_solver_does_and_marks_the_last_where_samples_are_averaged(ax: Axes) -> None:
    history = a_history(4, best=2, epoch_name="sweep", averages_samples=True)
    for record in history.epochs:
        record["sample_rmse"] = 1.5
    learning_curves(ax, history)
    assert ax.get_xlabel() == "sweep"
    assert {"training, whole sweep", "validation, each sample alone", "kept 1.1000 at sweep 4"} <= set(legend(ax))
    assert ax.get_lines()[-1].get_xdata() == [4]


def test_burn_in_is_marked(ax: Axes) -> None:
    history = a_history(6, epoch_name="sweep", averages_samples=True, batches=0)
    for record, phase in zip(history.epochs, ("als", "als", "burn-in"), strict=False):
        record["phase"] = phase
    learning_curves(ax, history)
    (span,) = ax.patches
    assert (span.get_x(), span.get_x() + span.get_width()) == (0.5, 3.5)
    assert "burn-in, at first 2 rounds of als" in legend(ax)


def test_burn_in_is_marked_in_the_curves_of_its_own_run_where_runs_are_compared(ax: Axes) -> None:
    sampled = a_history(6, run="b", epoch_name="sweep", averages_samples=True)
    for record in sampled.epochs[:2]:
        record["phase"] = "burn-in"
    compare_runs(ax, [a_history(6, run="a"), sampled])
    assert not ax.patches
    drawn = [(line.get_linestyle(), list(line.get_xdata())) for line in ax.get_lines() if len(line.get_xdata())]
    whole, counted, burn_in = list(range(1, 7)), [3, 4, 5, 6], [1, 2, 3]
    assert drawn == [("--", whole), ("-", whole), ("--", counted), (":", burn_in), ("-", counted), (":", burn_in)]
    assert "burn-in" in legend(ax)


def test_blocks_have_no_curve(ax: Axes) -> None:
    history = a_history(3, epoch_name="round")
    for record in history.epochs:
        del record["batch_rmse"]
    learning_curves(ax, history)
    assert not any("batch" in label for label in legend(ax))


def test_runs_of_several_solvers_are_compared_on_one_axis(ax: Axes) -> None:
    compare_runs(ax, [a_history(3, run="a", epoch_name="round"), a_history(3, run="b"), a_history(2, run="c")])
    assert ax.get_xlabel() == "round, epoch"


def test_a_few_wild_batches_do_not_flatten_the_curves(ax: Axes) -> None:
    history = a_history(8, batches=500)
    history.epochs[0]["batch_rmse"][:3] = [1e6, 1e5, 1e4]
    learning_curves(ax, history)
    low, high = ax.get_ylim()
    assert low < min(h["train_rmse"] for h in history.epochs)
    assert 1.4 < high < 2, "all of training and validation is within"


@pytest.mark.parametrize(
    ("history", "lines"),
    [
        (a_history(5, validation=False), 2),
        (a_history(1, best=1), 5),
        (a_history(1, validation=False, batches=1), 1),
        (a_history(6, batches=1), 4),
        (a_history(6, batches=0), 4),
    ],
    ids=["no validation", "one epoch", "one of everything", "a batch an epoch", "no batches"],
)
def test_a_history_may_be_short_of_anything(ax: Axes, history: History, lines: int) -> None:
    learning_curves(ax, history)
    assert len(ax.get_lines()) == lines
    low, high = ax.get_ylim()
    assert low < history.epochs[-1]["train_rmse"] < high


def test_a_million_batches_are_thinned_out(ax: Axes) -> None:
    learning_curves(ax, a_history(10, batches=100_000))
    assert 10_000 < len(ax.get_lines()[0].get_xdata()) <= POINTS


def test_compared_runs_differ_in_colour_and_marker_and_name_their_best(ax: Axes) -> None:
    histories = [a_history(8, run="a"), a_history(4, run="b", validation=False), a_history(5, run="c", best=5)]
    compare_runs(ax, histories, {"c"})
    assert legend(ax) == [
        "a: best 0.9000 at epoch 3",
        "b",
        "c (other data): best 0.9000 at epoch 5",
        "validation",
        "training",
    ]
    training, validation = ax.get_lines()[0], ax.get_lines()[1]
    assert (training.get_linestyle(), validation.get_linestyle()) == ("--", "-")
    assert len({(line.get_color(), line.get_marker()) for line in ax.get_lines()[:9:3]}) == 3


def test_thirty_five_runs_are_told_apart(ax: Axes) -> None:
    compare_runs(ax, [a_history(2, run=str(n)) for n in range(35)])
    assert len({(line.get_color(), line.get_marker()) for line in ax.get_lines()[2:105:3]}) == 35


@pytest.fixture
def facts(finished: Path) -> Facts:
    return Artifacts(finished).data.record().told(Facts)


def test_the_histogram_shows_the_counts_and_the_mean(ax: Axes, facts: Facts) -> None:
    counts = {"0.5": 3, "4": 10, "5": 1}
    rating_histogram(ax, replace(facts, dataset="mine", ratings=14, histogram=counts, minimum=0.5, mean=3.0))
    assert [bar.get_height() for bar in ax.patches] == [3, 10, 1]
    assert ticks(ax) == ["0.5", "4", "5"]
    assert ax.get_title() == "14 ratings of mine"
    assert legend(ax) == ["mean 3"]
    assert ax.get_lines()[0].get_xdata()[0] == pytest.approx(2.5 / 3.5), "between the bars of 0.5 and 4"
    assert ax.get_xlabel() == "rating"


def test_a_histogram_in_bins_says_so(ax: Axes, facts: Facts) -> None:
    rating_histogram(ax, replace(facts, histogram={"1": 3, "2": 1}, minimum=0.5))
    assert ax.get_xlabel() == "rating (middle of its bin)"


def test_predicted_against_actual_shows_the_median_of_each_rating(ax: Axes) -> None:
    actual = np.repeat([1.0, 2.0, 5.0], 3).astype(np.float32)
    predicted = np.array([1, 2, 3, 2, 2.5, 4, 3, 4.5, 5], np.float32)
    predicted_against_actual(ax, actual, predicted, "test")
    whiskers, medians = (lines.get_segments() for lines in ax.collections)
    assert [segment[0][1] for segment in medians] == [2, 2.5, 4.5]
    assert [(box.get_y(), box.get_y() + box.get_height()) for box in ax.patches] == [
        (1.5, 2.5),
        (2.25, 3.25),
        (3.75, 4.75),
    ]
    assert whiskers[0][:, 1] == pytest.approx([1.1, 2.9])
    (perfect,) = ax.get_lines()
    assert perfect.get_ydata() == pytest.approx([1, 2, 5])
    assert ticks(ax) == ["1", "2", "5"]
    expected = np.sqrt(((actual - predicted) ** 2).mean())
    assert ax.get_title() == f"Predicted against actual, test part (RMSE {expected:.4f})"
    assert set(legend(ax)) == {"middle 90 % of the predictions", "middle half", "median", "perfect prediction"}


def test_error_by_rating_by_hand(ax: Axes) -> None:
    actual = np.array([1, 1, 4], np.float32)
    error_by_rating(ax, actual, np.array([2, 4, 3], np.float32), "val")
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([np.sqrt((1 + 9) / 2), 1])
    assert ax.get_lines()[0].get_ydata() == pytest.approx([2, -1])
    assert [text.get_text() for text in ax.texts] == ["2", "1"]
    assert "val part" in ax.get_title()


def test_many_different_ratings_are_put_into_bins(ax: Axes) -> None:
    actual = np.linspace(0, 10, 101, dtype=np.float32)
    error_by_rating(ax, actual, actual + 1, "test")
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([1] * 10)
    assert ticks(ax) == [f"{0.5 + n:g}" for n in range(10)]
    assert sum(int(text.get_text()) for text in ax.texts) == 101
    assert ax.get_xlabel() == "actual rating (middle of its bin)"


@pytest.mark.parametrize("draw", [error_by_rating, predicted_against_actual])
def test_ratings_that_are_all_the_same_can_be_drawn(ax: Axes, draw: Any) -> None:
    same = np.full(3, 4, np.float32)
    draw(ax, same, same, "test")
    assert ticks(ax) == ["4"]


@pytest.mark.parametrize(
    "values", [[1.0, 1.25, 100.0], [100000.0, 100001.0, 100002.0], [float(n) for n in range(1990, 2010)]]
)
def test_every_rating_can_be_told_by_its_label(ax: Axes, values: list[float]) -> None:
    actual = np.array(values, np.float32)
    error_by_rating(ax, actual, actual, "test")
    assert [float(label) for label in ticks(ax)] == values


def test_no_legend_covers_any_data(ax: Axes) -> None:
    learning_curves(ax, a_history(8))
    figure = ax.figure
    figure.savefig(io.BytesIO(), format="png")
    assert figure.legends[0].get_window_extent().y1 < ax.get_window_extent().y0
