"""The command line: six thin commands, from options to config to stage to what is shown; errors to exit codes."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

import mfcli
from mfcli.cli.console import show_json, show_pairs, show_table
from mfcli.cli.option import Output, options
from mfcli.cli.progress import Terminal, clock
from mfcli.config import DownloadConfig, EvaluateConfig, PlotConfig, PrepareConfig, RecommendConfig, TrainConfig
from mfcli.errors import (
    EXIT_CODES,
    ArtifactError,
    ClosedPipe,
    GateError,
    MfcliError,
    Stopped,
    StoppedAtOnce,
    UsageError,
)
from mfcli.signals import raise_on_stop

EPILOG = "Exit codes: " + " · ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())

app = typer.Typer(
    name="mfcli",
    help="Matrix factorization from the shell: rating predictions and recommendations in six commands.",
    epilog=EPILOG,
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
        _show_catalogue(output)
        return
    from mfcli.download import download as stage

    done = stage(config, output.terminal)
    if done.already_there:
        output.terminal.note(f"{done.path} is in place already: nothing to do (--force fetches it again)")
    pairs = {"files": ", ".join(done.files)}
    if done.oracle_rmse is not None:
        pairs["oracle RMSE"] = f"{done.oracle_rmse:.4f} (no model can be better but by luck)"
    _show(output, f"{done.name} in {done.path}", pairs, done)


def _show_catalogue(output: Output) -> None:
    from mfcli.data.catalog import CATALOG, CSV, GROUPLENS, SYNTHETIC

    if output.json:
        show_json([asdict(entry) | {"address": entry.address()} for entry in CATALOG.values()])
        return
    rows = [
        (d.name, f"{d.ratings:,}", f"{d.megabytes:g} MB", d.md5 or "beside it", d.layout.ratings, d.licence)
        for d in CATALOG.values()
    ]
    rows.append((SYNTHETIC, "any number", "", "", CSV.ratings, "generated here"))
    header = ("name", "ratings", "zip", "md5", "layout", "licence")
    show_table(f"published at {GROUPLENS}NAME.zip", header, rows, numeric=(1, 2))


@app.command()
@options(PrepareConfig)
def prepare(config: PrepareConfig, output: Output) -> None:
    """Check ratings, map ids, and cut train, validation and test parts into data/."""
    from mfcli.prepare import prepare as stage

    done = stage(config, output.terminal)
    pairs = {
        "ratings": f"{done.ratings:,} by {done.users:,} users on {done.items:,} items (density {done.density:.3%})",
        "parts": f"train {done.train:,}, val {done.val:,}, test {done.test:,}",
        "range": f"{done.minimum:g} to {done.maximum:g}, mean {done.mean:.3f}",
    }
    if done.dropped:
        pairs["left out"] = f"{done.dropped:,} ratings (duplicates or below the minimum)"
    pairs["test, unseen"] = (
        f"{done.test_users_unseen:,} users and {done.test_items_unseen:,} items have no training rating "
        f"({done.test_ratings_unseen:,} ratings)"
    )
    most = max(done.histogram.values())
    for value, count in done.histogram.items():
        pairs[f"rated {value}"] = f"{count:>11,}  {'█' * round(30 * count / most)}".rstrip()
    _show(output, f"{done.dataset} in {done.path}", pairs, done)


@app.command()
@options(TrainConfig)
def train(config: TrainConfig, output: Output) -> None:
    """Fit a factor model to the training part."""
    from mfcli.train import train as stage

    done = stage(config, output.terminal)
    best = "" if "compression_rmse" in done.figures else f", best {done.best_epoch}"
    pairs = {"epochs": f"{done.epochs}{best}", "train RMSE": f"{done.train_rmse:.4f}"}
    if done.validation_rmse is not None:
        pairs["val RMSE"] = f"{done.validation_rmse:.4f}"
    if "compression_rmse" in done.figures:
        pairs["posterior"] = (
            f"{done.factors} factors say the mean of all samples to within "
            f"{done.figures['compression_rmse']:.4f} (RMS); noise {done.figures['noise']:.4f}"
        )
    if done.ratings_per_second is not None:
        pairs["speed"] = f"{done.ratings_per_second:,.0f} ratings/s on {done.device}, {clock(done.seconds)} in all"
    pairs["model"] = str(done.path)
    _show(output, f"run '{done.run}'", pairs, done)


@app.command()
@options(EvaluateConfig)
def evaluate(config: EvaluateConfig, output: Output) -> None:
    """RMSE and MAE beside the baselines; with --max-rmse a gate for CI."""
    from mfcli.evaluate import evaluate as stage

    done = stage(config, output.terminal)
    if output.json:
        show_json(asdict(done))
    elif not output.quiet:
        rows = [
            (f"run '{done.run}'", f"{done.rmse:.4f}", f"{done.mae:.4f}"),
            ("biases alone", f"{done.bias_rmse:.4f}", f"{done.bias_mae:.4f}"),
            ("training mean", f"{done.mean_rmse:.4f}", f"{done.mean_mae:.4f}"),
        ]
        if done.oracle_rmse is not None:
            rows.append(("oracle", f"{done.oracle_rmse:.4f}", ""))
        show_table(f"{done.ratings:,} ratings, {done.part} part", ("", "RMSE", "MAE"), rows, numeric=(1, 2))
        pairs = {"fallbacks": f"{done.fallbacks:,} predictions without factors: user or item not in the training part"}
        if done.bias_rmse < done.rmse:
            pairs["mind"] = "biases alone predict better: too few ratings for factors, or too little L2"
        if done.calibration is not None:
            c = done.calibration
            pairs["calibration"] = (
                f"{c.within_1:.1%} of the ratings within ±1 standard deviation, {c.within_2:.1%} within ±2 "
                f"(68.3% and 95.4% were it normal); mean log density {c.log_density:.4f}"
            )
        if done.ranking is not None:
            r = done.ranking
            pairs[f"top {r.n}"] = (
                f"{', '.join(f'{name} {mean:.4f}' for name, mean in r.means.items())} "
                f"(relevant: rated {r.relevant_from:.2f} or more; {r.users:,} users)"
            )
        show_pairs("", pairs)
    if done.passed is False:
        raise GateError(f"RMSE {done.rmse:.4f} on {done.part} is above --max-rmse {done.max_rmse:g}")


@app.command()
@options(PlotConfig)
def plot(config: PlotConfig, output: Output) -> None:
    """Draw learning curves, ratings, predictions and errors."""
    from mfcli.plot import plot as stage

    done = stage(config)
    _show(output, f"figures of run '{done.run}'", {name: str(path) for name, path in done.files.items()}, done)


@app.command()
@options(RecommendConfig)
def recommend(config: RecommendConfig, output: Output) -> None:
    """The items each user has not rated and would rate highest."""
    from mfcli.recommend import recommend as stage

    if output.json:
        if config.format not in (None, "json"):
            raise UsageError(f"--json and --format {config.format} exclude each other")
        config = replace(config, format="json")
    done = stage(config, sys.stdout.buffer)
    if done.users and not done.items:
        output.terminal.note("nothing to recommend: every item is rated already (--include-seen shows those too)")


def _show(output: Output, title: str, pairs: dict[str, Any], result: Any) -> None:
    """The result on standard output: for people, or as JSON."""
    if output.json:
        show_json(_plain(asdict(result)))
    elif not output.quiet:
        show_pairs(title, pairs)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value


def _prepare_streams() -> None:
    """Standard streams that can be written to, or fail with OSError, whatever the shell and the locale made of them."""
    # For those that the shell has closed (>&-) stand-ins: the first two fail when used, the last takes everything.
    for name, mode, access in (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode, encoding="utf-8", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # paths come back as they are


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    """A reader that has gone is no bug: end quietly, with the code a shell expects of a closed pipe."""
    try:
        try:
            yield
        except SystemExit as stop:
            if not isinstance(stop.__context__, BrokenPipeError):
                raise
            raise stop.__context__ from None  # Typer had made an exit of it
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise ClosedPipe("standard output was closed") from None
        raise


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; messages have been written."""
    _prepare_streams()
    terminal = Terminal()
    try:
        raise_on_stop()
        with _standard_output():
            result = app(arguments, prog_name="mfcli", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except ClosedPipe as error:
        return error.exit_code
    except (MfcliError, Stopped, StoppedAtOnce) as error:
        terminal.error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        terminal.error(f"{error.format_message()} (mfcli --help, mfcli COMMAND --help)")
        return UsageError.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        terminal.error("stopped")
        return 130
    except OSError as error:
        what = error.strerror or error
        terminal.error(
            f"{error.filename}: {what}: nothing was changed" if error.filename else f"standard output: {what}"
        )
        return ArtifactError.exit_code


def main() -> None:
    """The console script."""
    sys.exit(run())
