"""The command line: six thin commands, each from options to config to stage to what is shown."""

import sys
from dataclasses import asdict, replace

import typer

import mfcli
from mfcli.cli import show
from mfcli.cli.console import Output
from mfcli.cli.option import options
from mfcli.cli.process import exit_code
from mfcli.config import DownloadConfig, EvaluateConfig, PlotConfig, PrepareConfig, RecommendConfig, TrainConfig
from mfcli.errors import EXIT_CODES, GateError, UsageError

app = typer.Typer(
    name="mfcli",
    help="Matrix factorization from the shell: rating predictions and recommendations in six commands.",
    epilog="Exit codes: " + " · ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()),
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"mfcli {mfcli.__version__}\n")
        raise typer.Exit


@app.callback()
def _app(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Nothing is common to all commands but what each of them declares."""


@app.command()
@options(DownloadConfig)
def download(config: DownloadConfig, output: Output) -> None:
    """Get a MovieLens data set, or generate a synthetic one, into raw/."""
    if config.list:
        from mfcli.data.catalog import CATALOG

        output.show([asdict(one) | {"address": one.address()} for one in CATALOG.values()], show.catalogue)
        return
    from mfcli.download import download as stage

    done = stage(config, output.terminal)
    if done.already_there:
        output.terminal.note(f"{done.path} is in place already: nothing to do (--force fetches it again)")
    output.show(done, show.downloaded)


@app.command()
@options(PrepareConfig)
def prepare(config: PrepareConfig, output: Output) -> None:
    """Check ratings, map ids, and cut train, validation and test parts into data/."""
    from mfcli.prepare import prepare as stage

    output.show(stage(config, output.terminal), show.prepared)


@app.command()
@options(TrainConfig)
def train(config: TrainConfig, output: Output) -> None:
    """Fit a factor model to the training part."""
    from mfcli.train import train as stage

    output.show(stage(config, output.terminal), show.trained)


@app.command()
@options(EvaluateConfig)
def evaluate(config: EvaluateConfig, output: Output) -> None:
    """Show RMSE and MAE beside the baselines; with --max-rmse a gate for CI."""
    from mfcli.evaluate import evaluate as stage

    done = stage(config, output.terminal)
    output.show(done, show.evaluated)
    if done.passed is False:
        raise GateError(f"RMSE {done.rmse:.4f} on {done.part} is above --max-rmse {done.max_rmse:g}")


@app.command()
@options(PlotConfig)
def plot(config: PlotConfig, output: Output) -> None:
    """Draw learning curves, ratings, predictions and errors."""
    from mfcli.plot import plot as stage

    output.show(stage(config), show.plotted)


@app.command()
@options(RecommendConfig)
def recommend(config: RecommendConfig, output: Output) -> None:
    """List the items that each user has not rated and would rate highest."""
    from mfcli.recommend import recommend as stage

    if output.json:
        if config.format not in (None, "json"):
            raise UsageError(f"--json and --format {config.format} exclude each other")
        config = replace(config, format="json")
    done = stage(config, sys.stdout.buffer)
    if done.users and not done.items:
        output.terminal.note("nothing to recommend: every item is rated already (--include-seen shows those too)")


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; messages have been written."""
    return exit_code(lambda: app(arguments, prog_name="mfcli", standalone_mode=False))


def main() -> None:
    """The console script."""
    sys.exit(run())
