"""Predictions of pairs: what the model says of the known, what is left of the unknown, in the order of the file."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfcli.config.recommend import RecommendConfig
from mfcli.config.train import TrainConfig
from mfcli.data.id_files import IDS, read_ids
from mfcli.data.pairs import Pairs, read_pairs
from mfcli.data.ratings import Sides
from mfcli.errors import DataError, UsageError
from mfcli.models import model_file
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.models.strangers import with_strangers
from mfcli.recommend import recommend
from mfcli.serving import pairs as module
from mfcli.serving.spread import Spread
from tests.conftest import run_mfcli
from tests.test_recommend import blocks, part, rows, rows_of, the_model


def put(folder: Path, content: str) -> str:
    (folder / "pairs.csv").write_text(content)
    return str(folder / "pairs.csv")


def predicted(folder: Path, file: str, **options: Any) -> list[dict[str, Any]]:
    coming = blocks(RecommendConfig(dir=folder, pairs=file, **options))
    return rows_of({name: values.tolist() for name, values in block.items()} for block in coming)


def test_pairs_are_predicted_in_the_order_of_the_file(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test, users, items = (part(finished, name) for name in ("test", "users", "items"))
    ids = [(users["id"][u], items["id"][i]) for u, i in zip(test["user"], test["item"], strict=True)]
    file = put(tmp_path, "userId,movieId,rating\n" + "".join(f"{u},{i},3\n" for u, i in ids))
    monkeypatch.setattr(module, "AT_ONCE", 100)
    got = predicted(finished, file)
    assert [(row["user"], row["item"]) for row in got] == ids
    expected = the_model(finished).predict(test["user"].to_numpy(), test["item"].to_numpy())
    assert [row["prediction"] for row in got] == pytest.approx(expected.tolist(), abs=1e-6)


def test_the_unknown_have_what_is_left(finished: Path, tmp_path: Path) -> None:
    model, user, item = the_model(finished), part(finished, "users")["id"][3], part(finished, "items")["id"][5]
    assert model.biases is not None
    got = predicted(finished, put(tmp_path, f"user,item\n{user},{item}\n{user},none\nnobody,{item}\nnobody,none\n"))
    assert [row["known"] for row in got] == ["both", "user", "item", "none"]
    assert [(row["user"], row["item"]) for row in got[:2]] == [(str(user), str(item)), (str(user), "none")]
    assert model.newcomer is not None
    stranger = model.newcomer.given(np.zeros(0, np.int32), None).mean
    of_item, liking = float(model.biases.items[5]), float(stranger[:-1] @ model.factors.items[5])
    left = [
        model.mean + float(model.biases.users[3]),
        model.mean + stranger[-1] + of_item + liking,
        model.mean + stranger[-1],
    ]
    assert [row["prediction"] for row in got[1:]] == pytest.approx(
        np.clip(left, model.minimum, model.maximum), abs=1e-5
    )


def bayesian() -> FactorModel:
    """Four users and three items, the last of which has no training rating."""
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return rng.random(shape).astype(np.float32) + 0.5

    return FactorModel(
        mean=3.0,
        minimum=-99,
        maximum=99,
        factors=Sides(some(4, 2), some(3, 2)),
        counts=Sides(np.array([1, 1, 1, 1], np.int32), np.array([2, 2, 0], np.int32)),
        biases=Sides(some(4), some(3)),
        noise=Sides(some(4), some(3)),
        variances=Sides(some(4), some(3)),
        newcomer=NewcomerPrior(np.eye(3), np.array([0.3, -0.2, 0.1]), by_root_count=False, noise=1.0),
    )


def test_who_has_no_training_rating_is_not_called_known() -> None:
    prepared = SimpleNamespace(users=pa.table({"id": [1, 2, 3, 4]}), items=pa.table({"id": ["a", "b", "c"]}))
    trained: Any = SimpleNamespace(model=bayesian(), prepared=prepared)
    ids = Sides(np.array([4, 9]), np.array(["c", "a"], object))
    pairs = Pairs(np.array([0, 0, 1, 1], np.int32), np.array([1, 0, 1, 0], np.int32), ids)
    (block,) = module.predictions(pairs, trained, Spread(trained))
    assert block["known"].tolist() == ["both", "user", "item", "none"]
    of_unrated = bayesian().predict(np.array([3]), np.array([2]))
    assert block["prediction"][1] == of_unrated[0], "the model has a vector for it, and that counts"


def test_a_stranger_has_the_prior_of_a_bayesian_model_and_its_doubt() -> None:
    model = bayesian()
    assert model.biases is not None
    grown = with_strangers(model)
    of_item = np.append(model.factors.items[:2].mean(0), model.biases.items[:2].mean())
    expected = 3.0 + 0.1 + of_item[2] + 0.3 * of_item[0] - 0.2 * of_item[1]
    assert grown.predict(np.array([-1]), np.array([-1]))[0] == pytest.approx(expected, abs=1e-5)
    known = np.arange(4).repeat(3), np.tile(np.arange(3), 4)
    assert np.array_equal(grown.predict(*known), model.predict(*known))
    deviations, of_model = grown.deviations(np.array([-1]), np.array([-1])), model.deviations(*known)
    assert deviations is not None
    assert of_model is not None
    assert deviations[0] ** 2 >= (of_model**2).mean()


def test_a_stranger_is_whom_nothing_is_told_of() -> None:
    newcomer = bayesian().newcomer
    assert newcomer is not None
    link, basis = np.arange(12.0).reshape(4, 3), np.ones((3, 1), np.float32)
    model = replace(bayesian(), newcomer=replace(newcomer, link=link, basis=basis, typical=np.full(4, 0.25)))
    grown = with_strangers(model)
    assert grown.biases is not None
    user = np.append(grown.factors.users[-1], grown.biases.users[-1])
    np.testing.assert_allclose(user, newcomer.mean + link.mean(0), rtol=1e-6)


@pytest.mark.parametrize("solver", ["als", "gibbs"])
def test_runs_that_learn_from_attributes_of_users_alone_answer(
    artifacts: Path, tmp_path: Path, solver: Literal["als", "gibbs"]
) -> None:
    from mfcli.train import train

    some = {"epochs": 1} if solver == "als" else {"burn_in": 5, "samples": 2}
    train(TrainConfig(dir=artifacts, solver=solver, side=("users",), factors=2, **some))
    assert len(predicted(artifacts, put(tmp_path, "user,item\n1,2\nq,2\n"))) == 2


def test_the_formats_hold_the_same_predictions(finished: Path, tmp_path: Path) -> None:
    file = put(tmp_path, 'user,item\n1,2\n2,"x, y"\n3,3\n')
    expected = [row | {"prediction": round(row["prediction"], 4)} for row in predicted(finished, file)]
    for name in ("a.csv", "a.json", "a.jsonl", "a.parquet", "a.txt"):
        done = recommend(RecommendConfig(dir=finished, pairs=file, output=tmp_path / name), io.BytesIO())
        assert (done.asked, done.rows) == (3, 3)
    assert json.loads((tmp_path / "a.json").read_text()) == expected
    with (tmp_path / "a.csv").open(newline="") as lines:
        assert [row | {"prediction": float(row["prediction"])} for row in csv.DictReader(lines)] == [
            row | {"user": str(row["user"])} for row in expected
        ]
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row | {"prediction": round(row["prediction"], 4)} for row in table] == expected
    assert (tmp_path / "a.txt").read_text().splitlines()[0].split() == ["user", "item", "rating", "known"]


def test_from_standard_input_to_standard_output_as_csv(finished: Path) -> None:
    done = run_mfcli("recommend", "--pairs", "-", cwd=finished.parent, input="1,2\n1,3\n")
    assert (done.returncode, done.stderr) == (0, "")
    header, first, _ = done.stdout.splitlines()
    assert header == "user,item,prediction,known"
    assert first.startswith("1,2,")
    assert len(first.split(",")[2]) == 6


def test_the_day_of_a_pair_counts_where_days_were_learnt(artifacts: Path, tmp_path: Path) -> None:
    from mfcli.train import train

    train(TrainConfig(dir=artifacts, run="days", solver="gibbs", factors=2, burn_in=2, samples=3))
    model = model_file.from_bytes((artifacts / "runs" / "days" / "model.safetensors").read_bytes())
    assert model.days is not None
    test, users, items = (part(artifacts, name) for name in ("test", "users", "items"))
    u, i, when = (test[name].to_numpy() for name in ("user", "item", "timestamp"))
    columns = zip(users["id"][u], items["id"][i], when, strict=True)
    text = "userId,movieId,timestamp\n" + "".join(f"{user},{item},{time}\n" for user, item, time in columns)
    got = [row["prediction"] for row in predicted(artifacts, put(tmp_path, text), run="days")]
    assert got == pytest.approx(model.predict(u, i, when).tolist(), abs=1e-5)
    odd = put(tmp_path, "userId,movieId,timestamp\n1,2,one fine day\n")
    done = run_mfcli("recommend", "--pairs", odd, "--run", "days", cwd=artifacts.parent)
    assert "timestamps are left out, in pair 1" in done.stderr
    assert done.stdout.splitlines()[1].startswith("1,2,")


def test_pairs_and_lists_of_ids_may_be_as_windows_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "w.csv"
    file.write_bytes("user,item\nZoë,2\n".encode("cp1252"))
    assert read_pairs(file, pytest.fail).ids.users.tolist() == ["Zoë"]
    assert read_ids(file, IDS.users) == ["Zoë"]


def test_no_pairs_are_an_empty_table(finished: Path) -> None:
    done = run_mfcli("recommend", "--pairs", "-", cwd=finished.parent, input="user,item\n")
    assert (done.returncode, done.stdout) == (0, "user,item,prediction,known\n")


def test_standard_deviations(artifacts: Path, tmp_path: Path) -> None:
    from mfcli.train import train

    with pytest.raises(UsageError, match="does not tell how sure"):
        predicted(artifacts, put(tmp_path, "1,2\n"), with_std=True)
    train(TrainConfig(dir=artifacts, run="sampled", solver="gibbs", factors=2, burn_in=2, samples=3))
    got = predicted(artifacts, put(tmp_path, "user,item\n1,2\nq,2\n1,q\nq,q\n"), with_std=True, run="sampled")
    assert all(row["std"] > 0 for row in got)
    assert got[0]["std"] < got[3]["std"]


@pytest.mark.parametrize(
    "content",
    ["user,item\na,1\nb,2\na,3\n", "item\tuser\n1\ta\n2\tb\n3\ta\n", "a,1\nb,2.0\na,3\n", "a,1,5\nb,2,4\na,3,3\n"],
)
def test_pairs_of_any_text(content: str, tmp_path: Path) -> None:
    pairs = read_pairs(Path(put(tmp_path, content)), pytest.fail)
    assert pairs.ids.users[pairs.users].tolist() == ["a", "b", "a"]
    assert pairs.ids.items[pairs.items].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("what,who\n1,a\n2,b\n3,a\n", "who,what"),
        ("item,user,mine\n1,x,a\n2,x,b\n3,y,a\n", "mine,item"),
        ("1,a\n2,b\n3,a\n", "2,1"),
        ("9,8,7,1,6,a\n9,8,7,2,6,b\n9,8,7,3,6,a\n", "6,4"),
    ],
)
def test_pairs_of_columns_that_are_named_or_numbered(content: str, columns: str, tmp_path: Path) -> None:
    pairs = read_pairs(Path(put(tmp_path, content)), pytest.fail, columns)
    assert pairs.ids.users[pairs.users].tolist() == ["a", "b", "a"]
    assert pairs.ids.items[pairs.items].tolist() == [1, 2, 3]


def test_a_third_column_that_is_named_is_that_of_times(tmp_path: Path) -> None:
    file = Path(put(tmp_path, "when;what;who\n100;1;a\n200;2;b\n"))
    pairs = read_pairs(file, pytest.fail, "who,what,when", times=True)
    assert pairs.timestamps is not None
    assert pairs.timestamps.tolist() == [100, 200]
    pq.write_table(pa.table({"when": [300], "what": [1], "who": ["a"]}), tmp_path / "a.parquet")
    pairs = read_pairs(tmp_path / "a.parquet", pytest.fail, "3,2,1", times=True)
    assert pairs.timestamps is not None
    assert (pairs.ids.users.tolist(), pairs.timestamps.tolist()) == (["a"], [300])


@pytest.mark.parametrize("columns", ["who", "who,who", "a,b,c,d", "who,"])
def test_columns_that_cannot_be(columns: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not USER,ITEM"):
        read_pairs(Path(put(tmp_path, "who,what\na,1\n")), pytest.fail, columns)


def test_pairs_of_a_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"movieId": [5, 6], "userId": ["u", "v"], "more": [1, 2]}), tmp_path / "a.parquet")
    pairs = read_pairs(tmp_path / "a.parquet", pytest.fail)
    assert (pairs.ids.users[pairs.users].tolist(), pairs.ids.items[pairs.items].tolist()) == (["u", "v"], [5, 6])
    pq.write_table(pa.table({"user": ["u", None], "item": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="a user or an item is missing"):
        read_pairs(tmp_path / "a.parquet", pytest.fail)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,item\n1,2\n,3\n", "line 3: the user id is empty"),
        ("user,item\n1,2\n1\n", "line 3: 1 column, not 2"),
        ("a,b\nc,d\n", r"no column looks like the user .*: name them with --columns USER,ITEM\[,TIMESTAMP\]"),
    ],
)
def test_faults(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(Path(put(tmp_path, content)), pytest.fail)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user": ("1",)}, "--pairs and --user exclude"),
        ({"genre": ("A",)}, "--genre is for lists of items"),
        ({"why": True}, "--why tells of a user's own ratings"),
    ],
)
def test_options_that_contradict_pairs(finished: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows(finished, pairs="-", **options)
