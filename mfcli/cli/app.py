"""The command line: six thin commands, each from options to config to stage to what is shown."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

import typer

import mfcli
from mfcli.cli import show
from mfcli.cli.console import Output
from mfcli.cli.option import OTHER_VARIABLES, Body, Command, Group, options, own_variable, shared_variables
from mfcli.cli.process import default_matplotlib, exit_code
from mfcli.config.common import Config
from mfcli.config.download import DownloadConfig
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.plot import PlotConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.recommend import RecommendConfig
from mfcli.config.train import TrainConfig
from mfcli.errors import EXIT_CODES, GateError, UsageError

DOCUMENTATION = "https://github.com/mfcli/mfcli#readme"
VARIABLES = (
    "Every option has a variable: MFCLI_TRAIN_EPOCHS is --epochs of train. These serve all commands that have the "
    f"option: {', '.join(shared_variables())}."
)


def _epilog(*examples: str, more: Iterable[str]) -> str:
    """What stands below the options in ``--help``, a paragraph each: Typer joins the lines of one."""
    return "\n\n".join(["Examples:", *(f"$ {line}" for line in examples), *more, f"Documentation: {DOCUMENTATION}"])


app = typer.Typer(
    name="mfcli",
    cls=Group,
    help="Matrix factorization from the shell: rating predictions and recommendations in six commands.",
    epilog=_epilog(
        "mfcli download ml-latest-small",
        "mfcli prepare",
        "mfcli train",
        "mfcli recommend --user 42",
        more=(VARIABLES, "Exit codes: " + " · ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())),
    ),
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"mfcli {mfcli.__version__}\n")
        raise typer.Exit


def _command(kind: type[Config], *examples: str) -> Callable[[Body], object]:
    """Make a command of a function of a config and an Output, with what stands below its help."""
    flag, variable = own_variable(kind)
    shared = [name for name in shared_variables(kind) if name not in OTHER_VARIABLES]
    variables = f"Variables: {variable} is {flag}, and so on; {', '.join(shared)} serve several commands."

    def decorate(body: Body) -> object:
        return app.command(cls=Command, epilog=_epilog(*examples, more=[variables]))(options(kind)(body))

    return decorate


@app.callback(invoke_without_command=True)
def _app(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Nothing is common to all commands but what each of them declares. Without one, the help."""
    if ctx.invoked_subcommand is None:
        sys.stdout.write(ctx.get_help())


@_command(
    DownloadConfig,
    "mfcli download ml-1m",
    "mfcli download ml-latest-small --from ml-latest-small.zip",
    "mfcli download synthetic --ratings 1000000",
)
def download(config: DownloadConfig, output: Output) -> None:
    """Get a MovieLens data set, or generate a synthetic one, into raw/."""
    if config.list:
        from mfcli.data.catalogue import CATALOGUE

        output.show([asdict(one) | {"address": one.address()} for one in CATALOGUE.values()], show.catalogue)
        return
    from mfcli.download import download as stage

    done = stage(config, output.terminal)
    if done.already_there:
        output.terminal.note(f"{done.path} is in place already: nothing to do (--force fetches it again)")
    output.show(done, show.downloaded)


@_command(
    PrepareConfig,
    "mfcli prepare ml-latest-small",
    "mfcli prepare --ratings ratings.csv --items items.csv --columns userId,movieId,rating,timestamp",
    "mfcli prepare --ratings ratings.parquet --split latest",
)
def prepare(config: PrepareConfig, output: Output) -> None:
    """Check ratings, map ids, and cut train, validation and test parts into data/."""
    from mfcli.prepare import prepare as stage

    output.show(stage(config, output.terminal), show.prepared)


@_command(
    TrainConfig,
    "mfcli train",
    "mfcli train --solver gibbs --run accurate",
    "mfcli train --run accurate --resume",
    "mfcli train --search 30",
)
def train(config: TrainConfig, output: Output) -> None:
    """Fit a factor model to the training part."""
    from mfcli.train import train as stage

    output.show(stage(config, output.terminal), show.trained)


@_command(
    EvaluateConfig,
    "mfcli evaluate --run accurate --top 10",
    "mfcli evaluate --run candidate --no-worse-than default --promote default",
    "mfcli evaluate --max-rmse 0.9 --json",
    "mfcli evaluate --cross-validate 5 --run accurate --run default",
)
def evaluate(config: EvaluateConfig, output: Output) -> None:
    """Show how good a run is, alone and beside another; with gates for cron and CI."""
    from mfcli.evaluate import cross_validate, evaluate_all
    from mfcli.evaluate import evaluate as stage
    from mfcli.judging.gates import failure

    if config.all:
        output.show(evaluate_all(config, output.terminal), show.roster)
        return
    if config.cross_validate is not None:
        output.show(cross_validate(config, output.terminal), show.on_folds)
        return
    done = stage(config, output.terminal)
    stands = "all else is done" if done.promoted is None else f"run '{done.run}' is run '{done.promoted}' now"
    output.show(done, show.evaluated, stands)
    failures = [failure(gate, done.part) for gate in done.gates if not gate.passed]
    if failures:
        raise GateError("; ".join(failures))


@_command(
    PlotConfig,
    "mfcli plot --run accurate --compare default",
    "mfcli plot --report",
    "mfcli plot --format svg --output figures",
)
def plot(config: PlotConfig, output: Output) -> None:
    """Draw learning curves, ratings, predictions and errors."""
    with default_matplotlib():
        from mfcli.plot import plot as stage

    output.show(stage(config, output.terminal), show.plotted)


@_command(
    RecommendConfig,
    "mfcli recommend --user 42 --user 7 --top 5",
    "mfcli recommend --all-users --output recommendations.csv",
    "mfcli recommend --ratings mine.csv --genre comedy --year 1990.. --why",
    "mfcli recommend --similar-to matrix",
)
def recommend(config: RecommendConfig, output: Output) -> None:
    """List what each user has not rated and is likely to meet and to like."""
    from mfcli.recommend import recommend as stage

    if output.json:
        if config.format not in (None, "json"):
            raise UsageError(f"--json and --format {config.format} exclude each other")
        config = replace(config, format="json")
    done = stage(config, sys.stdout.buffer, output.terminal)
    if done.asked and not done.rows:
        left_out = f", or left out by {' and '.join(config.filters)}" if config.filters else ""
        output.terminal.note(f"nothing to show: every item is rated already (--include-seen shows it){left_out}")


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; messages have been written."""
    return exit_code(lambda: app(arguments, prog_name="mfcli", standalone_mode=False))
