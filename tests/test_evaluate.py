"""Evaluation against numbers computed from the files alone, and the gate."""

import hashlib
import io
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import mean_absolute_error, ndcg_score, root_mean_squared_error

from mfcli.artifacts import Artifacts
from mfcli.config.common import Part
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.errors import ArtifactError
from mfcli.evaluate import evaluate
from mfcli.judging.results import Evaluation
from mfcli.models import ranking as module
from mfcli.models.scorers import Chance
from mfcli.progress import Progress
from tests.conftest import Listening, Runner, run_mfcli


def part(folder: Path, name: str = "test") -> pd.DataFrame:
    return pd.read_parquet(folder / "data" / f"{name}.parquet")


def all_scores(folder: Path) -> np.ndarray:
    """Every user's prediction for every item, not clipped, from the bytes of the model."""
    path = folder / "runs" / "default" / "model.safetensors"
    arrays = {name: a.astype(np.float64) for name, a in load_file(path).items()}
    dots = arrays["user_factors"] @ arrays["item_factors"].T
    return part(folder, "train")["rating"].mean() + arrays["user_biases"][:, None] + arrays["item_biases"] + dots


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.endswith(".lock")
    }


@pytest.fixture(scope="module")
def trained(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished chain, to which evaluate may add its file."""
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("evaluate") / "artifacts"))


@pytest.fixture(scope="module")
def result(trained: Path) -> Evaluation:
    return evaluate(EvaluateConfig(dir=trained))


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_rmse_and_mae_are_scikit_learns_on_the_files(trained: Path, name: Part) -> None:
    ratings, train = part(trained, name), part(trained, "train")
    predicted = all_scores(trained)[ratings["user"], ratings["item"]]
    predicted = predicted.clip(train["rating"].min(), train["rating"].max())
    result = evaluate(EvaluateConfig(dir=trained, part=name))
    assert result.ratings == len(ratings)
    assert result.rmse == pytest.approx(root_mean_squared_error(ratings["rating"], predicted), rel=1e-6)
    assert result.mae == pytest.approx(mean_absolute_error(ratings["rating"], predicted), rel=1e-6)


def test_the_mean_baseline_is_the_training_parts(trained: Path, result: Evaluation) -> None:
    errors = part(trained)["rating"] - part(trained, "train")["rating"].mean()
    assert result.mean_rmse == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-6)
    assert result.mean_mae == pytest.approx(errors.abs().mean(), rel=1e-6)


def test_the_model_beats_the_mean_and_not_the_oracle(trained: Path, result: Evaluation) -> None:
    results = json.loads((trained / "raw" / "synthetic" / "stage.json").read_text())["results"]
    assert result.oracle_rmse == results["oracle_rmse"] < result.rmse < result.mean_rmse
    assert result.bias_rmse < result.mean_rmse


def test_evaluation_json_holds_the_result_and_what_it_was_made_from(trained: Path) -> None:
    result = evaluate(EvaluateConfig(dir=trained))
    written = json.loads((trained / "runs" / "default" / "evaluation.json").read_text())
    artifacts = Artifacts(trained)
    made_from = {"model": artifacts.run("default").record().fingerprint, "data": artifacts.data.record().fingerprint}
    made_from["part"] = Prepared(artifacts.data.record()).part("test").digest()
    sums = written.pop("sums")
    assert written == json.loads(json.dumps(asdict(result))) | {"inputs": made_from}
    assert sum(sums["counts"]["ratings"]) == result.ratings
    assert sum(sums["totals"]["MAE"]) / result.ratings == pytest.approx(result.mae)


def test_evaluating_changes_no_byte_of_the_run_but_its_own_file(artifacts: Path, mfcli: Runner) -> None:
    before = checksums(artifacts)
    for name in ("train", "test"):
        done = mfcli("evaluate", "--part", name, "--top", 3)
        assert done.returncode == 0, done.stderr
    after = checksums(artifacts)
    assert after.pop("runs/default/evaluation.json")
    assert after == before


@pytest.mark.parametrize(("bound", "code"), [(0.0, 7), (10.0, 0)])
def test_the_gate_shows_the_result_either_way_and_exits_7_above_the_bound(
    artifacts: Path, mfcli: Runner, bound: float, code: int
) -> None:
    done = mfcli("evaluate", "--max-rmse", bound, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == code
    (gate,) = result["gates"]
    assert (gate["bound"], gate["passed"], result["passed"]) == (bound, code == 0, code == 0)
    by = f"{result['rmse']:.2g}"
    expected = f"mfcli: error: RMSE {result['rmse']:.4f} on test is above --max-rmse 0, by {by}\n" if code else ""
    assert done.stderr == expected


def test_a_gate_at_the_very_rmse_is_met(trained: Path) -> None:
    rmse = evaluate(EvaluateConfig(dir=trained)).rmse
    assert evaluate(EvaluateConfig(dir=trained, max_rmse=rmse)).passed
    assert evaluate(EvaluateConfig(dir=trained, max_rmse=float(np.nextafter(rmse, 0)))).passed is False


def test_people_get_a_table_with_the_baselines_and_the_oracle(trained: Path) -> None:
    done = run_mfcli("evaluate", cwd=trained.parent)
    lines = done.stdout.splitlines()
    assert lines[0] == f"{len(part(trained)):,} ratings, test part"
    rows = [line.split("  ")[0].strip() for line in lines[3:7]]
    assert rows == ["run 'default'", "biases alone", "training mean", "oracle"]
    assert done.stderr == ""


@pytest.fixture(scope="module")
def with_strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on users 1 to 3 and items a to c; the test has two ratings each of a new user and a new item."""
    from mfcli.train import train

    folder = tmp_path_factory.mktemp("strangers")
    known = [f"{u},{i},{(u + place) % 5 + 1}" for u in (1, 2, 3) for place, i in enumerate("abc") if (u, i) != (3, "c")]
    (folder / "known.csv").write_text("\n".join(["user,item,rating", *known]) + "\n")
    (folder / "test.csv").write_text("user,item,rating\n3,c,4\n9,a,2\n9,b,5\n1,z,1\n2,z,3\n")
    options = ("--ratings", "known.csv", "--test", "test.csv", "--validation-fraction", 0)
    done = run_mfcli("prepare", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    train(TrainConfig(dir=folder / "artifacts", epochs=2, factors=2))
    return folder / "artifacts"


def test_ratings_of_the_known_and_of_the_unknown_are_told_apart(with_strangers: Path) -> None:
    result = evaluate(EvaluateConfig(dir=with_strangers))
    assert result.warm is not None
    assert result.cold is not None
    assert (result.ratings, result.warm.ratings, result.cold.ratings) == (5, 1, 4)
    assert result.rmse**2 == pytest.approx((result.warm.rmse**2 + 4 * result.cold.rmse**2) / 5)
    assert result.bias_rmse**2 == pytest.approx((result.warm.bias_rmse**2 + 4 * result.cold.bias_rmse**2) / 5)
    assert result.oracle_rmse is None
    assert evaluate(EvaluateConfig(dir=with_strangers, part="train")).cold is None


def test_a_part_that_is_not_there_is_an_artifact_error(with_strangers: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no part 'val'.*--validation-fraction"):
        evaluate(EvaluateConfig(dir=with_strangers, part="val"))


def test_where_nothing_is_held_out_evaluate_says_so_and_all_else_works(artifacts: Path, mfcli: Runner) -> None:
    assert "nothing is held out" in mfcli("prepare", "--split", "none").stdout
    assert not (artifacts / "data" / "test.parquet").exists()
    assert len(part(artifacts, "train")) == 3000
    assert mfcli("train", "--epochs", 1, "--factors", 2).returncode == 0
    done = mfcli("evaluate")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "nothing is held out" in done.stderr
    done = mfcli("evaluate", "--max-rmse", 1)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "nothing is held out" in done.stderr
    for command in ("evaluate --part train", "plot --part train", "recommend --user 1"):
        assert mfcli(*command.split()).returncode == 0


@pytest.mark.parametrize("relevant", [None, 4.5])
@pytest.mark.parametrize("at_once", [1, 10**9])
def test_top_is_what_brute_force_finds(
    trained: Path, monkeypatch: pytest.MonkeyPatch, relevant: float | None, at_once: int
) -> None:
    """Every item without a training rating of the user is ranked; users without a relevant test item do not count."""
    monkeypatch.setattr(module, "SCORES_AT_ONCE", at_once)
    ranking = evaluate(EvaluateConfig(dir=trained, top=(5, 2), relevant=relevant, rank_by="rating")).ranking
    train, test, ratings = part(trained, "train"), part(trained), all_scores(trained)
    wanted = test[test["rating"] > train["rating"].mean()] if relevant is None else test[test["rating"] >= relevant]
    popularity = train["item"].value_counts().reindex(range(ratings.shape[1]), fill_value=0).to_numpy()
    assert ranking is not None
    assert ranking.users == wanted["user"].nunique() > 10
    assert (ranking.rank_by, [one.n for one in ranking.lists], ranking.relevant_from > 3) == ("rating", [2, 5], True)
    assert ranking.candidates == "all items without a training rating of the user's"
    for lists in ranking.lists:
        for found, scores in ((lists.run, ratings), (lists.popular, np.tile(popularity, (len(ratings), 1)))):
            expected: dict[str, list[float]] = {name: [] for name in ("precision", "recall", "NDCG", "hit_rate")}
            taken = np.zeros(len(popularity), int)
            for user, mine in wanted.groupby("user")["item"]:
                candidates = np.setdiff1d(np.arange(scores.shape[1]), train["item"][train["user"] == user])
                best = sorted(candidates, key=lambda item: (-scores[user, item], item))[: lists.n]
                taken[best] += 1
                hits = len(set(best) & set(mine))
                expected["precision"].append(hits / lists.n)
                expected["recall"].append(hits / len(mine))
                expected["hit_rate"].append(hits > 0)
                untied = [scores[user, i] - 1e-9 * i for i in candidates]
                expected["NDCG"].append(ndcg_score([np.isin(candidates, mine)], [untied], k=lists.n))
            assert {name: found[name] for name in expected} == pytest.approx(
                {name: np.mean(values) for name, values in expected.items()}, rel=1e-6
            )
            assert found["coverage"] == (taken > 0).mean()
            assert found["mean_popularity"] == pytest.approx((taken * popularity).sum() / taken.sum())


def test_the_default_ranking_and_the_most_popular_items_beat_chance(trained: Path) -> None:
    ranking = evaluate(EvaluateConfig(dir=trained, top=(10,))).ranking
    assert ranking is not None
    (lists,) = ranking.lists
    assert (ranking.rank_by, lists.n) == ("likely", 10)
    assert min(lists.run["NDCG"], lists.popular["NDCG"]) > lists.random["NDCG"]
    assert lists.random["Gini"] < lists.run["Gini"] < lists.popular["Gini"]
    assert lists.random["coverage"] == 1
    assert list(lists.run)[6:] == ["coverage", "Gini", "mean_popularity"]


def test_a_ranking_worse_than_popularity_is_a_warning(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worse, better = Listening(), Listening()
    evaluate(EvaluateConfig(dir=trained, top=(5, 10), rank_by="rating"), worse)
    monkeypatch.setattr("mfcli.judging.evaluation.Popularity", lambda counts: Chance(len(counts), seed=1))
    evaluate(EvaluateConfig(dir=trained, top=(5, 10)), better)
    assert [text.split(":")[0] for text in worse.warnings] == [
        "run 'default' ranked by rating is worse than the list of the most popular items"
    ] * 2
    assert ["NDCG@5" in worse.warnings[0], "NDCG@10" in worse.warnings[1]] == [True, True]
    assert better.warnings == []


def test_several_tops_are_shown_each_in_a_table(trained: Path) -> None:
    done = run_mfcli("evaluate", "--top", "10,5", "--top", 5, cwd=trained.parent)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("top ")] == ["top 5", "top 10"]
    assert lines[lines.index("top 5") + 1].split() == ["likely", "popular", "random"]
    told = json.loads((trained / "runs" / "default" / "evaluation.json").read_text())["ranking"]
    ndcg = f"{told['lists'][0]['run']['NDCG']:.4f}"
    assert ["NDCG", ndcg] in [line.split()[:2] for line in lines]
    assert any("all items without a training rating" in line for line in lines)


def test_a_top_of_nothing_is_no_ranking(trained: Path) -> None:
    assert evaluate(EvaluateConfig(dir=trained, top=(0,))).ranking is None
    done = run_mfcli("evaluate", "--top", "5,x", cwd=trained.parent)
    assert (done.returncode, "'x' is not a whole number" in done.stderr) == (2, True)


def test_nobody_to_rank_for_is_no_crash(trained: Path) -> None:
    progress = Listening()
    ranking = evaluate(EvaluateConfig(dir=trained, top=(5,), relevant=99.0), progress).ranking
    assert ranking is not None
    assert progress.warnings == ["run 'default': no item of the test part is relevant, so that lists have no use"]
    assert (ranking.users, set(ranking.lists[0].run.values())) == (0, {0.0})


@pytest.mark.parametrize(
    "options",
    [("--relevant", 4), ("--rank-by", "likely"), ("--rank-by", "rating"), ("--rank-by", "rating", "--top", 0)],
)
@pytest.mark.parametrize("more", [(), ("--all",), ("--cross-validate", 2)], ids=str)
def test_an_option_for_lists_needs_lists(
    trained: Path, mfcli: Runner, options: tuple[object, ...], more: tuple[object, ...]
) -> None:
    done = mfcli("evaluate", *more, *options, cwd=trained.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mfcli: error: {options[0]} is for lists: give --top\n"
    env = {"MFCLI_RANK_BY": "rating"}
    assert more or mfcli("evaluate", "-q", cwd=trained.parent, env=env).returncode == 0, "that is for recommend, too"


def test_printed_settings_without_lists_name_no_option_for_them(trained: Path, mfcli: Runner, tmp_path: Path) -> None:
    printed = mfcli("evaluate", "--print-config", cwd=trained.parent).stdout
    assert "rank_by" not in printed
    (tmp_path / "own.toml").write_text(printed)
    assert mfcli("evaluate", "--config", tmp_path / "own.toml", "-q", cwd=trained.parent).returncode == 0
    assert 'rank_by = "likely"' in mfcli("evaluate", "--top", 5, "--print-config", cwd=trained.parent).stdout


def test_a_top_larger_than_the_catalogue_finds_everything(trained: Path) -> None:
    ranking = evaluate(EvaluateConfig(dir=trained, top=(10**9,)), Progress()).ranking
    assert ranking is not None
    assert ranking.lists[0].run["recall"] == 1.0


@pytest.mark.parametrize("solver", ["als"])
def test_the_first_lists_on_movielens_are_worth_showing(tmp_path: Path, real_data: Path, solver: str) -> None:
    """The first item has at least 3 training ratings for all but 1 % of the users, and NDCG@10 is 0.26 or more."""
    source = real_data / "ml-latest-small.zip"
    for command in (
        ("download", "ml-latest-small", "--from", source),
        ("prepare", "--validation-fraction", 0),
        ("train", "--solver", solver, "--threads", 1),
        ("evaluate", "--top", 10),
    ):
        done = run_mfcli(*command, "-q", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "artifacts"
    told = json.loads((folder / "runs" / "default" / "evaluation.json").read_text())["ranking"]["lists"][0]
    assert told["run"]["NDCG"] >= 0.26 > told["popular"]["NDCG"]
    done = run_mfcli("recommend", "--all-users", "-n", 1, "--format", "csv", cwd=tmp_path)
    first = pd.read_csv(io.StringIO(done.stdout))
    ratings = part(folder, "items").set_index("id")["train_ratings"][first["item"]]
    assert len(ratings) == 610
    assert (ratings < 3).mean() <= 0.01


@pytest.mark.parametrize("file", ["model.safetensors", "data/test.parquet", "data/train.parquet"])
def test_an_altered_file_is_told(artifacts: Path, file: str) -> None:
    path = artifacts / "runs" / "default" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{path.name} is not what stage.json says"):
        evaluate(EvaluateConfig(dir=artifacts))


def test_a_run_that_is_not_there_names_the_command(artifacts: Path) -> None:
    with pytest.raises(ArtifactError, match=r"runs/nope is not there yet: run `mfcli train --run nope"):
        evaluate(EvaluateConfig(dir=artifacts, run=("nope",)))
