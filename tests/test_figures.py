"""The figures that look into a model: whether it knows how sure it is, and the map of its items."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from mfcli.data.ratings import Sides
from mfcli.figures.calibration import calibration
from mfcli.figures.comparison import Compared, comparison
from mfcli.figures.item_map import LABELS, components, item_map
from mfcli.figures.style import drawable, write_figure
from mfcli.models.bootstrap import Groups
from mfcli.models.model import FactorModel

RNG = np.random.default_rng(0)


@pytest.fixture
def ax() -> Axes:
    return Figure(figsize=(7.5, 4.8), layout="constrained").subplots()


# ── calibration ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_errors_as_large_as_expected_lie_on_the_line(ax: Axes) -> None:
    deviations = RNG.uniform(0.5, 1.5, 50_000).astype(np.float32)
    calibration(ax, 3 + deviations * RNG.normal(size=50_000), np.full(50_000, 3.0), deviations, "test")
    points, line, _ = ax.get_lines()
    assert points.get_ydata() == pytest.approx(points.get_xdata(), rel=0.05)
    assert len(points.get_xdata()) == 10
    assert [*line.get_xdata()] == [*line.get_ydata()]
    within = [float(share) for share in re.findall(r"([\d.]+)% \(", ax.get_xlabel())]
    assert within == pytest.approx([68.3, 95.4], abs=1)
    assert "test part" in ax.get_title()


def test_the_surest_stand_left_and_bars_are_two_standard_errors(ax: Axes) -> None:
    deviations = np.repeat([2.0, 1.0], 20)
    errors = np.concatenate([np.repeat([1.0, 3.0], 10), np.full(20, 0.5)])
    calibration(ax, 3 + errors, np.full(40, 3.0), deviations, "val")
    points, _, of_all = ax.get_lines()
    assert points.get_xdata() == pytest.approx([1, 2])
    assert points.get_ydata() == pytest.approx([0.5, np.sqrt(5)])
    assert of_all.get_ydata()[0] == pytest.approx(np.sqrt((5 + 0.25) / 2))
    (bars,) = ax.collections
    low, high = bars.get_segments()[1][:, 1]
    assert high - np.sqrt(5) == np.sqrt(5) - low == pytest.approx(4 / np.sqrt(20) / np.sqrt(5))


@pytest.mark.parametrize("n", [1, 2, 19, 30])
def test_few_ratings_make_one_group(ax: Axes, n: int) -> None:
    calibration(ax, np.ones(n), np.ones(n), np.ones(n), "test")
    assert len(ax.get_lines()[0].get_xdata()) == 1


# ── runs compared ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_runs_stand_below_each_other_with_what_they_are_more_or_less(ax: Axes) -> None:
    first = RNG.normal(size=4000)
    users = np.repeat(np.arange(400), 10)
    runs = [
        Compared.of("first", first, Groups.of(users), None),
        Compared.of("worse", first * 1.1, Groups.of(users), first),
        Compared.of("alike", np.roll(first, 10), Groups.of(users), first),
    ]
    comparison(ax, runs, "test")
    rmses = [np.sqrt(np.mean(errors**2)) for errors in (first, first * 1.1, first)]
    assert [line.get_xdata()[0] for line in ax.get_lines()[:3]] == pytest.approx(rmses)
    assert [line.get_ydata()[0] for line in ax.get_lines()[:3]] == [0, 1, 2]
    for bar, rmse in zip(ax.collections, rmses, strict=True):
        low, high = bar.get_segments()[0][:, 0]
        assert low < rmse < high
    names = [label.get_text().split("\n") for label in ax.get_yticklabels()]
    assert names[0] == ["first"]
    assert names[1][:2] == ["worse", f"{rmses[1] - rmses[0]:+.4f}"]
    low, high = json.loads(names[1][2].replace("+", ""))
    assert 0 < low < rmses[1] - rmses[0] < high, "worse beyond luck, though the intervals of the two overlap"
    low, high = json.loads(names[2][2].replace("+", ""))
    assert low < 0 < high
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first on top"


# ── the map of items ─────────────────────────────────────────────────────────────────────────────────────────────────


def a_model(n_items: int, factors: int = 3, n_users: int = 40) -> FactorModel:
    vectors = Sides(*(RNG.normal(size=(n, factors)).astype(np.float32) for n in (n_users, n_items)))
    counts = Sides(np.ones(n_users, np.int32), np.arange(n_items, 0, -1, dtype=np.int32))
    return FactorModel(3, 1, 5, vectors, counts)


def titles(n: int) -> list[str]:
    return [f"The {'very ' * int(RNG.integers(1, 9))}film {place}" for place in range(n)]


@pytest.mark.parametrize(("kind", "dpi"), [("png", 60), ("png", 150), ("svg", 150)])
@pytest.mark.parametrize("n", [1, 2, 40, 2000])
def test_no_title_covers_another_or_a_named_dot_or_leaves_the_axes(n: int, kind: str, dpi: int) -> None:
    drawn = []

    def draw(ax: Axes) -> None:
        item_map(ax, a_model(n), titles(n))
        drawn.append(ax)

    write_figure(draw, io.BytesIO(), kind, dpi)
    (ax,) = drawn
    written = [text for text in ax.texts if isinstance(text, Annotation)]
    boxes = [text.get_window_extent() for text in written]  # as it was drawn last
    dots = [ax.transData.transform(text.xy) for text in written]
    assert (n if n < 3 else 5) <= len(written) <= LABELS
    for place, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:place])
        assert ax.get_window_extent().count_contains([*box.corners()]) == 4
        assert not any(box.contains(*dot) for dot in dots)
        assert np.hypot(*(np.clip(dots[place], box.min, box.max) - dots[place])) < 8 * ax.figure.dpi / 72, "beside"


def test_what_stands_below_runs_compared_is_within_the_picture() -> None:
    groups, names = Groups.of(np.arange(40) % 8), ("a" * 32, "b" * 32)
    off = np.linspace(-1, 1, 40)
    first, second = Compared.of(names[0], off, groups, None), Compared.of(names[1], off * 1.1, groups, off)
    figure = Figure(figsize=(5.2, 3), dpi=72, layout="constrained")
    axes = figure.subplots()
    comparison(axes, [first, second], "test")
    figure.canvas.draw()
    found, whole = axes.xaxis.label.get_window_extent(), figure.bbox
    assert whole.x0 <= found.x0 < found.x1 <= whole.x1


def test_the_best_known_are_named_first(ax: Axes) -> None:
    model = a_model(300)
    item_map(ax, model, titles(300))
    (first, *others) = (int(text.get_text().split()[-1]) for text in ax.texts)
    assert first == 0
    assert others == sorted(others)


def test_items_without_training_ratings_are_not_on_the_map(ax: Axes) -> None:
    model = a_model(5)
    model.counts.items[2] = 0
    item_map(ax, model, titles(5))
    assert len(ax.collections[0].get_offsets()) == 4


def test_the_components_are_those_of_what_users_think() -> None:
    """Along the first factor users differ; the second is large for items, and the same for all users."""
    model = a_model(200, 2)
    users = np.column_stack([RNG.normal(size=40), np.full(40, 5.0)]).astype(np.float32)
    items = np.column_stack([RNG.normal(size=200), 100 * RNG.normal(size=200)]).astype(np.float32)
    places, shares = components(replace(model, factors=Sides(users, items)), np.arange(200))
    assert shares == pytest.approx([1, 0], abs=1e-6)
    assert abs(np.corrcoef(places[:, 0], items[:, 0])[0, 1]) == pytest.approx(1)
    assert places[:, 0].std() == pytest.approx(users[:, 0].std() * items[:, 0].std(), rel=1e-3), "in rating points"


def test_the_map_is_the_same_however_factors_are_scaled_and_turned() -> None:
    model = a_model(50)
    mixing = RNG.normal(size=(3, 3))
    mixed = Sides(
        (model.factors.users @ mixing).astype(np.float32),
        (model.factors.items @ np.linalg.inv(mixing).T).astype(np.float32),
    )
    one, other = (components(m, np.arange(50)) for m in (model, replace(model, factors=mixed)))
    np.testing.assert_allclose(np.abs(one[0]), np.abs(other[0]), atol=1e-3)
    np.testing.assert_allclose(one[1], other[1], atol=1e-4)


@pytest.mark.parametrize("factors", [1, 2])
def test_a_model_of_few_factors_and_of_none_to_tell_apart_has_a_map(ax: Axes, factors: int) -> None:
    model = a_model(4, factors)
    model.factors.items[:] = 0
    item_map(ax, model, ["", "a", "Амели", "$x_1$"])
    assert ax.collections[0].get_offsets().tolist() == [[0, 0]] * 4


def test_letters_without_a_font_are_known() -> None:
    assert drawable("Амели $x_1$ (2001)")
    assert not drawable("a private letter: \ue5f3")
