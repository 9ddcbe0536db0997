"""report.html: whole by itself, true to the records, and no text of the data is taken for HTML."""

import json
from html.parser import HTMLParser
from pathlib import Path

from mfcli.artifacts import Artifacts
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.plot import PlotConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.evaluate import evaluate
from mfcli.figures.page import Lines, Picture, Section, Table, page
from mfcli.models.history import explanations
from mfcli.plot import plot
from mfcli.prepare import prepare
from mfcli.train import train
from tests.conftest import Runner

HOSTILE = """</title><script>alert('1')</script><img src=x onerror="alert(2)">&amp;"""


class Reader(HTMLParser):
    """Elements, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attributes:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def report(folder: Path) -> Reader:
    written = plot(PlotConfig(dir=folder, report=True, dpi=40)).files["report"]
    assert written == folder / "runs/default/report.html"
    return Reader(written.read_text("utf-8"))


def test_a_page_takes_no_text_for_html() -> None:
    blocks = [Table(HOSTILE, [(HOSTILE, HOSTILE)], (HOSTILE,)), Picture(HOSTILE, b"<svg/>"), Lines([HOSTILE])]
    read = Reader(page(HOSTILE, HOSTILE, [Section(HOSTILE, blocks, HOSTILE)]))
    assert "script" not in read.elements
    assert read.elements.count("img") == 1
    assert "onerror" not in read.attributes
    assert read.texts.count(HOSTILE) == 11
    assert read.attributes["alt"] == [HOSTILE]


def test_a_report_of_hostile_data_needs_nothing_and_runs_nothing(tmp_path: Path) -> None:
    pairs = [(user, item) for user in range(12) for item in range(8)]
    file = tmp_path / "<script>alert(1)<$x$>.csv"
    file.write_text("user,item,rating\n" + "".join(f"{u},{i},{1 + (u * i) % 5}\n" for u, i in pairs))
    (tmp_path / "items.csv").write_text(
        "item,title\n" + "".join(f"{i},<script src=//x{i}></script>\n" for i in range(8))
    )
    folder = tmp_path / "artifacts"
    prepare(PrepareConfig(dir=folder, ratings=(file,), items=tmp_path / "items.csv", missing="<b>,\"'"))
    train(TrainConfig(dir=folder, solver="als", factors=2, epochs=2))
    read = report(folder)
    assert {"script", "link", "iframe", "b", "base"}.isdisjoint(read.elements)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in read.attributes["src"])
    assert "href" not in read.attributes
    assert "<b>,\"'" in read.texts
    assert any("default-src 'none'" in content for content in read.attributes["content"])


def test_the_report_tells_what_the_records_say(artifacts: Path) -> None:
    found = evaluate(EvaluateConfig(dir=artifacts, top=(5,), segments=True))
    read = report(artifacts)
    record = Artifacts(artifacts).run("default").record()
    for number in (found.rmse, found.mae, found.bias_rmse, found.ranking.lists[0].run["NDCG"]):  # type: ignore[union-attr]
        assert any(text.startswith(f"{number:.4f}") for text in read.texts)
    assert {
        "this run",
        f"Lists of 5, for {found.ranking.users} users",
        record.body["versions"]["torch"],
        record.fingerprint,
    } <= {*read.texts}
    assert read.texts[read.texts.index("epochs") + 1] == "4"
    assert any("mfcli prepare" in text and "mfcli train --factors 4 --epochs 4" in text for text in read.texts)
    assert {f"By {segment.by}" for segment in found.segments or []} <= {*read.texts}
    low, high = found.rmse_interval or (0, 0)
    assert f"{found.rmse:.4f} [{low:.4f},\N{NO-BREAK SPACE}{high:.4f}]" in read.texts
    assert read.elements.count("img") == 6


def test_what_side_information_explains_is_told_in_words() -> None:
    shares = {"exposure of users": 0.003, "users": 0.1, "exposure of items": 0.25, "items": 0.4, "time": 0.05}
    assert explanations(shares) == {
        "exposure": "0% of how users differ and 25% of how items differ",
        "features": "10% of how users differ and 40% of how items differ",
        "time": "5% of how ratings differ",
    }


def test_an_evaluation_of_another_model_is_not_told(artifacts: Path) -> None:
    evaluate(EvaluateConfig(dir=artifacts))
    file = artifacts / "runs/default/evaluation.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "inputs": {}}))
    read = report(artifacts)
    assert "biases alone" not in read.texts
    assert any(text.endswith("mfcli evaluate --run default --top 10") for text in read.texts)


def test_without_an_evaluation_the_page_tells_what_its_figures_do(artifacts: Path) -> None:
    read = report(artifacts)
    found = evaluate(EvaluateConfig(dir=artifacts))
    told = read.texts[read.texts.index("this run") :][:3]
    assert told == ["this run", f"{found.rmse:.4f}", f"{found.mae:.4f}"]
    assert any(text.startswith(f"On {found.ratings:,} ratings of the test part.") for text in read.texts)


def test_a_run_of_clicks_has_a_report(tmp_path: Path, mfcli: Runner) -> None:
    lines = "".join(f"u{u},i{i}\n" for u in range(20) for i in range(15) if (u * i) % 3 != 1)
    (tmp_path / "plays.csv").write_text("user,item\n" + lines)
    for command in ("prepare --clicks plays.csv", "train --solver ials --factors 2 --epochs 2", "evaluate"):
        assert mfcli(*command.split()).returncode == 0
    assert mfcli("plot", "--report", "--dpi", 40, "--output", "figures").returncode == 0
    text = (tmp_path / "figures/report.html").read_text()
    assert "Lists of 10" in text
    assert "RMSE" not in text
