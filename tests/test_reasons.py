"""Reasons: which of a user's own ratings speak for an item, checked against leaving each of them out."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfcli.artifacts import Artifacts
from mfcli.models.exposure import Exposure
from mfcli.models.fold_in import contributions, fold_in
from mfcli.models.run import open_run
from mfcli.serving.answer import Items
from mfcli.serving.reasons import Reasons
from tests.test_recommend import part, rows, the_model

REASON = re.compile(r"(.+): ([\d.]+) \(([+\d.]+)(%?)\)")


def reasons(text: str) -> list[tuple[str, float, float]]:
    """Title, rating and how much it says, of each reason."""
    found = [REASON.fullmatch(one) for one in text.split("|")]
    assert all(found), text
    return [(one[1], float(one[2]), float(one[3])) for one in found if one]


def test_contributions_are_what_a_prediction_is_made_of(finished: Path) -> None:
    model = the_model(finished)
    assert model.newcomer is not None
    model = replace(model, newcomer=replace(model.newcomer, link=None))  # else something is expected before the ratings
    rated, given = np.array([3, 40, 11, 7], np.int32), np.array([5, 1, 4.5, 3], np.float32)
    listed = np.array([0, 1, 2], np.int32)
    parts = contributions(model, rated, given, listed)
    assert parts.shape == (3, 4)
    folded = fold_in(model, rated, given).model.predict(np.zeros(3, int), listed, clip=False)
    assert model.biases is not None
    np.testing.assert_allclose(model.mean + model.biases.items[listed] + parts.sum(1), folded, atol=1e-4)
    raised = given + np.array([0, 0, 1, 0], np.float32)
    more = fold_in(model, rated, raised).model.predict(np.zeros(3, int), listed, clip=False) - folded
    slope = parts[:, 2] / (given[2] - model.mean - model.biases.items[11])
    np.testing.assert_allclose(more, slope, atol=1e-4)


@pytest.mark.parametrize("rank_by", ["likely", "exposure"])
def test_shares_of_the_exposure(finished: Path, rank_by: str) -> None:
    items, train = part(finished, "items"), part(finished, "train")
    mine = train[train["user"] == 4]
    exposure = Exposure.from_bytes((finished / "runs" / "default" / "exposure.safetensors").read_bytes())
    user = str(part(finished, "users")["id"][4])
    for row in rows(finished, user=(user,), n=3, why=True, rank_by=rank_by):
        item = int(np.flatnonzero(items["id"] == row["item"])[0])
        shares = exposure.why(mine["item"].to_numpy(), mine["rating"].to_numpy(), item)
        liked = mine["rating"].to_numpy() >= mine["rating"].mean()
        best = [place for place in np.argsort(-shares) if liked[place]][:3]
        assert [title for title, _, _ in reasons(row["why"])] == items["title"][mine["item"].to_numpy()[best]].tolist()
        assert [rating for _, rating, _ in reasons(row["why"])] == mine["rating"].to_numpy()[best].tolist()
        percents = 100 * shares[best] / shares.clip(0).sum()
        assert [share for _, _, share in reasons(row["why"])] == pytest.approx(percents.tolist(), abs=0.51)


def test_points_of_the_rating_of_somebody_new(finished: Path, tmp_path: Path) -> None:
    items, model = part(finished, "items"), the_model(finished)
    rated, given = np.array([3, 40, 11], np.int32), np.array([5, 1, 4.5], np.float32)
    lines = [f"{items['id'][i]},{r}" for i, r in zip(rated, given, strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    got = rows(finished, ratings=tmp_path / "mine.csv", n=4, why=True, rank_by="rating")
    assert any(row["why"] for row in got)
    for row in got:
        (parts,) = contributions(model, rated, given, np.flatnonzero(items["id"] == row["item"]).astype(np.int32))
        expected = {items["title"][rated[place]]: parts[place] for place in (0, 2) if parts[place] > 0}
        told = {title: points for title, _, points in reasons(row["why"])} if row["why"] else {}
        assert told == pytest.approx(expected, abs=0.0051)


def test_what_was_disliked_is_no_reason_and_shares_stay_shares_of_all(finished: Path) -> None:
    """What is as good as the user's mean was not disliked; of clicks all are told, without a weight."""
    trained = open_run(Artifacts(finished), "default", "exposure")
    why, listed = Reasons("exposure", trained, Items(trained.prepared)), np.arange(30, dtype=np.int32)
    rated = np.array([40, 41, 42], np.int32)

    def told(ratings: list[float], of: Reasons = why) -> list[str]:
        return of.of(rated[: len(ratings)], np.array(ratings, np.float32), listed)

    assert told([]) == [""] * len(listed)
    for alike in ([1], [5], [3, 3, 3], [3.1, 3.1, 3.1]):
        assert any(told(alike))
    some = [reason for text in told([5, 1, 4.5]) if text for reason in reasons(text)]
    assert {rating for _, rating, _ in some} == {5, 4.5}
    assert trained.exposure is not None
    parts = trained.exposure.why(rated, np.array([5, 1, 4.5], np.float32), 0).clip(0)
    assert sum(share for _, _, share in reasons(told([5, 1, 4.5])[0])) == pytest.approx(
        100 * parts[[0, 2]].sum() / parts.sum(), abs=1.01
    )
    clicked = replace(trained, model=replace(trained.model, typical_click=1.0))
    texts = told([1, 1, 9], Reasons("exposure", clicked, why.items))
    assert all(re.fullmatch(r".+ \(\d+%\)", one) for text in texts if text for one in text.split("|"))
    assert not any(": 1 " in text or ": 9 " in text for text in texts)
    assert any(why.items.titles[41] in text for text in texts)


def test_a_bar_in_a_title_makes_no_two_reasons(finished: Path) -> None:
    trained = open_run(Artifacts(finished), "default", "exposure")
    items = Items(trained.prepared)
    items.titles[40] = "Sun | Moon"
    (text,) = Reasons("exposure", trained, items).of(np.array([40], np.int32), np.array([5], np.float32), np.array([0]))
    assert text == "Sun / Moon: 5 (100%)"


def test_reasons_of_many_users_are_those_of_each(finished: Path) -> None:
    together = rows(finished, all_users=True, n=2, why=True)
    for user in part(finished, "users")["id"][:3]:
        assert [row for row in together if row["user"] == user] == rows(finished, user=(str(user),), n=2, why=True)
