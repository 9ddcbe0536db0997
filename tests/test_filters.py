"""Filters of recommend against brute force, what it does with unknown users, and the lists of what there is."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mfcli.config.recommend import RecommendConfig
from mfcli.data.ratings import ItemLists
from mfcli.errors import DataError, UsageError
from mfcli.models.model import FactorModel
from mfcli.models.ranking import rank
from tests.conftest import Listening, run_mfcli
from tests.test_recommend import blocks, part, rows, rows_of


def warned(folder: Path, **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """What is recommended, and the warnings."""
    heard = Listening()
    return rows_of(blocks(RecommendConfig(dir=folder, **options), heard)), heard.warnings


def passing(folder: Path) -> tuple[dict[str, Any], set[int]]:
    """Some filters that leave about a third of the items, and the ids of those."""
    items = part(folder, "items")
    genre = items["genres"].str.split("|").explode().mode()[0]
    year, least = int(items["year"].median()), int(items["train_ratings"].quantile(0.2))
    kept = items["genres"].str.split("|").map(lambda genres: genre in genres)
    kept &= (items["year"] >= year) & (items["train_ratings"] >= least)
    assert 3 < kept.sum() < len(items) / 2
    return {"genre": (genre.upper(),), "year": f"{year}..", "min_ratings": least}, set(items["id"][kept])


@pytest.mark.parametrize("rank_by", ["likely", "rating", "exposure"])
def test_filtered_lists_are_the_whole_lists_without_the_rest(finished: Path, rank_by: Any) -> None:
    options, kept = passing(finished)
    whole = pd.DataFrame(rows(finished, all_users=True, n=10**6, rank_by=rank_by))
    expected = whole[whole["item"].isin(kept)].groupby("user", sort=False).head(5)
    got = pd.DataFrame(rows(finished, all_users=True, n=5, rank_by=rank_by, **options))
    assert got.drop(columns="rank").values.tolist() == expected.drop(columns="rank").values.tolist()
    assert got.groupby("user")["rank"].apply(list).map(lambda ranks: ranks == list(range(1, len(ranks) + 1))).all()


def test_only_the_candidates_are_scored(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    scores = FactorModel.scores

    def counting(self: FactorModel, users: np.ndarray) -> np.ndarray:
        widths.append(self.n_items)
        return scores(self, users)

    monkeypatch.setattr(FactorModel, "scores", counting)
    options, kept = passing(finished)
    rows(finished, all_users=True, **options)
    assert set(widths) == {len(kept)}


def test_filters_hold_for_somebody_new(finished: Path, tmp_path: Path) -> None:
    options, kept = passing(finished)
    some = part(finished, "items")["id"][:4]
    (tmp_path / "mine.csv").write_text("item,rating\n" + "".join(f"{one},4\n" for one in some))
    got = rows(finished, ratings=tmp_path / "mine.csv", n=10**6, **options)
    assert {row["item"] for row in got} == kept - set(some)


def test_candidates_and_exclusions_from_files(finished: Path, tmp_path: Path) -> None:
    ids = part(finished, "items")["id"]
    (tmp_path / "some").write_text("movieId\n" + "\n".join(map(str, ids[:9])) + "\nnone-such\n")
    (tmp_path / "no").write_text(f"{ids[3]}\n")
    options = {"items_from": str(tmp_path / "some"), "exclude": str(tmp_path / "no"), "user": ("1",)}
    got, warnings = warned(finished, include_seen=True, n=100, **options)
    assert {row["item"] for row in got} == set(ids[:9]) - {ids[3]}
    assert warnings == [f"{tmp_path}/some: 1 of 10 items are not in the data: none-such"]
    with pytest.raises(DataError, match="none-such"):
        rows(finished, strict=True, **options)


def test_no_candidate_is_an_empty_result_and_a_note(finished: Path) -> None:
    options = ("--user", 1, "--year", "1800..1801", "--format", "json")
    done = run_mfcli("recommend", *options, cwd=finished.parent)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert "left out by --year" in done.stderr


def test_ranking_among_candidates_is_ranking_of_them_alone() -> None:
    class Table:
        """Scores in a table."""

        def __init__(self, table: np.ndarray) -> None:
            self.table, self.n_items = table, table.shape[1]

        def scores(self, users: np.ndarray) -> np.ndarray:
            return self.table[users].copy()

        def exact(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
            return self.table[users, items].astype(np.float64)

        def of_items(self, rows: np.ndarray) -> "Table":
            return Table(self.table[:, rows])

    rng = np.random.default_rng(1)
    table = rng.normal(size=(6, 40)).astype(np.float32)
    candidates = np.sort(rng.choice(40, 11, replace=False)).astype(np.int32)
    hidden = ItemLists.from_pairs(
        *(rng.integers(0, size, 60).astype(np.int32) for size in (6, 40)),  # type: ignore[arg-type]
        n_users=6,
    )
    (ranked,) = rank(Table(table), np.arange(6), 8, hidden=hidden, candidates=candidates)
    for user, found in zip(ranked.users, ranked.items, strict=True):
        free = [item for item in candidates.tolist() if item not in hidden.for_user(user)]
        best = sorted(free, key=lambda item: -table[user, item])[:8]
        assert found.tolist() == best + [-1] * (8 - len(best))


def test_lists_among_some_items_hold_their_places() -> None:
    lists = ItemLists.from_pairs(np.array([0, 0, 2, 2], np.int32), np.array([5, 3, 9, 5], np.int32), 3)
    among = lists.among(np.array([3, 9], np.int32))
    assert [among.for_user(user).tolist() for user in range(3)] == [[0], [], [1]]
    nothing = lists.among(np.array([], np.int32))
    assert [nothing.for_user(user).tolist() for user in range(3)] == [[], [], []]


# ── users that are unknown ───────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_user_of_a_file_does_not_cost_the_others_their_list(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("userId\n3\nnobody\n1\n")
    got, warnings = warned(finished, users_from=str(tmp_path / "ids"), n=1)
    assert [row["user"] for row in got] == [3, 1]
    assert warnings == [f"--users-from {tmp_path}/ids: 1 of 3 users are not in the data: nobody"]
    with pytest.raises(DataError, match="nobody"):
        rows(finished, users_from=str(tmp_path / "ids"), strict=True)
    (tmp_path / "ids").write_text("nobody\n")
    with pytest.raises(DataError, match="none of these users is in the data: known are 1, 2, 3"):
        rows(finished, users_from=str(tmp_path / "ids"))


def test_several_new_people_each_get_their_list(finished: Path, tmp_path: Path) -> None:
    ids = part(finished, "items")["id"]
    (tmp_path / "all.csv").write_text(f"user,item,rating\n7,{ids[0]},5\nann,{ids[1]},1\n7,{ids[2]},4\n")
    got = pd.DataFrame(rows(finished, ratings=tmp_path / "all.csv", user=("1",), n=4))
    assert got["user"].tolist() == ["7"] * 4 + ["ann"] * 4 + [1] * 4
    for name, lines in {"7": f"{ids[0]},5\n{ids[2]},4\n", "ann": f"{ids[1]},1\n"}.items():
        (tmp_path / "one.csv").write_text(lines)
        alone = pd.DataFrame(rows(finished, ratings=tmp_path / "one.csv", n=4)).drop(columns="user")
        assert got[got["user"] == name].drop(columns="user").values.tolist() == alone.values.tolist()


def test_five_titles_give_a_list(finished: Path) -> None:
    titles = part(finished, "items")["title"][:5]
    text = io.StringIO()
    csv.writer(text).writerows([("title", "rating"), *((title.lower(), 4) for title in titles)])
    done = run_mfcli("recommend", "--ratings", "-", "-n", 3, "-f", "csv", cwd=finished.parent, input=text.getvalue())
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4
    assert not set(titles) & {row["title"] for row in csv.DictReader(io.StringIO(done.stdout))}


# ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_users_and_the_items_that_there_are(finished: Path) -> None:
    items, users = part(finished, "items"), part(finished, "users")
    got = pd.DataFrame(rows(finished, list="items"))
    columns = {"item": "id", "title": "title", "genres": "genres", "ratings": "ratings"}
    assert {name: got[name].tolist() for name in columns} == {name: items[of].tolist() for name, of in columns.items()}
    got = pd.DataFrame(rows(finished, list="users"))
    assert got["user"].tolist() == users["id"].tolist()
    assert got["train_ratings"].tolist() == users["train_ratings"].tolist()
    options, kept = passing(finished)
    assert {row["item"] for row in rows(finished, list="items", **options)} == kept


def test_what_the_hint_names_shows_all(finished: Path) -> None:
    hint = "mfcli recommend --list users"
    assert hint in run_mfcli("recommend", "--user", "nobody", cwd=finished.parent).stderr
    done = run_mfcli(*hint.split()[1:], "-f", "csv", cwd=finished.parent)
    assert len(done.stdout.splitlines()) == 1 + len(part(finished, "users"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"list": "items", "user": ("1",)}, "--list and --user exclude"),
        ({"list": "items", "with_std": True}, "--with-std is for predictions"),
        ({"list": "users", "save": True}, "--save keeps lists for users"),
        ({"users_from": "-", "items_from": "-"}, "only one option can read standard input"),
    ],
)
def test_options_that_contradict_each_other_are_refused(finished: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows(finished, **options)
