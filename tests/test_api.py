"""A trained run from Python: the answers of the command, as frames."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mfcli
from mfcli.errors import ArtifactError, DataError, UsageError
from tests.conftest import run_python
from tests.test_recommend import part, rows, the_model


@pytest.fixture
def run(finished: Path) -> "mfcli.api.Run":
    return mfcli.load(finished)


def test_predictions_of_pairs(run: "mfcli.api.Run", finished: Path) -> None:
    users, items = part(finished, "users")["id"][[4, 4, 9]], part(finished, "items")["id"][[7, 3, 3]]
    expected = the_model(finished).predict(np.array([4, 4, 9]), np.array([7, 3, 3]))
    got = run.predict(users, items)
    assert got["prediction"].tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert (got["user"].tolist(), got["item"].tolist()) == (users.tolist(), items.tolist())
    assert got.dtypes.astype(str).tolist() == ["int64", "int64", "float32", "object"]
    pd.testing.assert_frame_equal(run.predict(users.tolist(), items.astype(str).tolist()), got)
    one_user = run.predict(users.iloc[0], items)
    assert one_user["user"].tolist() == [users.iloc[0]] * 3
    assert run.predict([1, "nobody"], "none")["known"].tolist() == ["user", "none"]
    assert len(run.predict([], [])) == 0


def test_lists_are_those_of_the_command(run: "mfcli.api.Run", finished: Path) -> None:
    options = {"min_ratings": 20, "rank_by": "rating", "why": True}
    got = run.recommend([3, 1], n=4, **options)
    assert got.to_dict("records") == rows(finished, user=("3", "1"), n=4, **options)
    pd.testing.assert_frame_equal(run.recommend("3", 4, **options), got[:4])
    nothing = run.recommend(3, year="1800")
    assert (len(nothing), list(nothing)) == (0, [name for name in got if name != "why"])


def test_an_option_of_several_texts_takes_one(run: "mfcli.api.Run") -> None:
    genre = run.trained.prepared.items["genres"][0].as_py().split("|")[0]
    (alone, *others) = (run.recommend(1, genre=given).to_dict() for given in (genre, [genre], (genre,)))
    assert others == [alone, alone]
    assert all(genre in genres for genres in alone["genres"].values())
    with pytest.raises(UsageError, match=r"no option is called 'gener'"):
        run.recommend(1, gener=genre)


def test_similar_items_are_those_of_the_command(run: "mfcli.api.Run", finished: Path) -> None:
    item = part(finished, "items")["id"][2]
    assert run.similar(item, 3).to_dict("records") == rows(finished, similar_to=(str(item),), n=3)


def test_somebody_new_is_who_the_command_folds_in(run: "mfcli.api.Run", finished: Path, tmp_path: Path) -> None:
    items = part(finished, "items")
    ratings = {items["id"][3]: 5.0, items["title"][40].lower(): 1.0}
    (tmp_path / "mine.csv").write_text(f"item,rating\n{items['id'][3]},5\n{items['id'][40]},1\n")
    expected = rows(finished, ratings=tmp_path / "mine.csv", n=5, why=True)
    person = run.fold_in(ratings)
    got = person.recommend(5, why=True)
    assert got.to_dict("records") == [{k: v for k, v in row.items() if k != "user"} for row in expected]
    predicted = person.predict([*got["item"], "none"])
    assert predicted["prediction"][:5].tolist() == pytest.approx(got["prediction"].tolist(), abs=1e-5)
    pd.testing.assert_frame_equal(run.fold_in(list(ratings.items())).recommend(5, why=True), got)


def test_what_is_odd_warns_and_what_cannot_be_raises(run: "mfcli.api.Run", tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 items are not in the data: none"):
        run.fold_in({1: 4, "none": 3})
    with pytest.raises(DataError, match="no rating in it can be used"), pytest.warns(UserWarning, match="none"):
        run.fold_in({"none": 3})
    with pytest.raises(DataError, match="no user 'nobody'"):
        run.recommend("nobody")
    with pytest.raises(UsageError, match="rank_by='lower-bound': the solver of run 'default' does not tell"):
        run.recommend(1, rank_by="lower-bound")
    with pytest.raises(UsageError, match="with_std: the solver of run 'default' does not tell"):
        run.predict(1, 1, with_std=True)
    with pytest.raises(UsageError, match="--top: 0 is not in"):
        run.recommend(1, n=0)
    for option in ("run", "dir", "items_new"):
        with pytest.raises(UsageError, match=f"{option}: give it to mfcli.load"):
            run.recommend(1, **{option: "other"})
    with pytest.raises(ArtifactError, match="is not there yet: run `mfcli train"):
        mfcli.load(tmp_path)
    with pytest.raises(AttributeError, match="module 'mfcli' has no attribute 'lod'"):
        mfcli.lod  # noqa: B018


def test_importing_is_light_and_pandas_waits_for_a_frame(finished: Path) -> None:
    script = """
import sys, mfcli
assert not {"numpy", "pyarrow", "mfcli.api"} & set(sys.modules)
run = mfcli.load()
assert not {"torch", "pandas", "scipy", "sklearn"} & set(sys.modules)
run.fold_in({1: 5})
run.recommend(1)
assert "torch" not in sys.modules and "pandas" in sys.modules
"""
    done = run_python(script, cwd=finished.parent)
    assert (done.returncode, done.stderr) == (0, "")
