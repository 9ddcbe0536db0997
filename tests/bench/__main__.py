"""The command line of the benchmarks: one table each."""

import argparse
import sys
from pathlib import Path

from tests.bench.chain import lenskit
from tests.bench.clicks import clicks
from tests.bench.compare import ROWS, article, side, solvers
from tests.bench.data import REAL
from tests.bench.frontier import POINTS, frontier
from tests.bench.growth import growth
from tests.bench.lists import lists
from tests.bench.process import BenchError
from tests.bench.ranks import ranks

TABLES = {
    "solvers": solvers,
    "side": side,
    "article": article,
    "lenskit": lenskit,
    "frontier": frontier,
    "growth": growth,
    "lists": lists,
    "clicks": clicks,
    "ranks": ranks,
}


def interpreter(text: str) -> tuple[str, str]:
    """NAME=PATH, taken apart."""
    name, equals, path = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("NAME=PATH is wanted")
    return name, path


def parser() -> argparse.ArgumentParser:
    """All options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--threads", type=int, default=2, help="CPU threads of every process (2)")
    common.add_argument(
        "--python",
        type=interpreter,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="interpreter for a peer that needs another environment, where mfcli must be installed too (repeatable)",
    )
    repeated = argparse.ArgumentParser(add_help=False)
    repeated.add_argument("--repeat", type=int, default=1, help="measure so many times and show the medians (1)")
    top = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__, allow_abbrev=False)
    commands = top.add_subparsers(dest="table", required=True)

    command = commands.add_parser("solvers", parents=[common, repeated], help="our solvers and others' (the default)")
    command.add_argument("--data", nargs="+", choices=ROWS, default=list(ROWS))
    command.add_argument(
        "--rows",
        nargs="+",
        metavar="NAME[:key=value,...]",
        help="adam, als or gibbs with options of `mfcli train` or until=RMSE; a peer with settings as in peers.py",
    )

    command = commands.add_parser(
        "side", parents=[common, repeated], help="those that take side information, ours and myFM"
    )
    command.add_argument("--data", nargs="+", choices=ROWS, default=list(ROWS))

    command = commands.add_parser("article", parents=[common], help="the article's loop and our adam")
    command.add_argument("--epochs", type=int, default=30, help="of the article's loop (30)")

    commands.add_parser("lenskit", parents=[common, repeated], help="the whole chain as processes: mfcli and LensKit")

    command = commands.add_parser("frontier", parents=[common, repeated], help="RMSE against seconds, as a figure")
    command.add_argument("--methods", nargs="+", choices=POINTS, default=list(POINTS))
    command.add_argument("--figure", type=Path, default=Path("time-to-rmse.png"), help="(time-to-rmse.png)")

    command = commands.add_parser("growth", parents=[common], help="seconds a sweep by ratings and factors")
    command.add_argument(
        "--solver", nargs="+", default=["als:side=none", "gibbs:burn_in=1,side=none"], metavar="NAME[:key=value,...]"
    )
    command.add_argument("--millions", nargs="+", type=float, default=[1, 4, 16], help="of generated ratings (1 4 16)")
    command.add_argument("--factors", nargs="+", type=int, default=[16, 32, 64, 128])
    command.add_argument("--sweeps", type=int, default=8, help="timed sweeps, after one that is not (8)")

    command = commands.add_parser("lists", parents=[common], help="users a second whose best items are found")
    command.add_argument("--users", type=int, default=2000, help="with random vectors (2000)")
    command.add_argument("--items", type=int, default=60_000, help="likewise (60000)")
    command.add_argument("--repeat", type=int, default=3, help="measure so many times and show the best (3)")

    command = commands.add_parser("clicks", parents=[common, repeated], help="ials beside the implicit library")
    command.add_argument("--factors", type=int, default=64)
    command.add_argument("--rounds", type=int, default=15)

    command = commands.add_parser("ranks", parents=[repeated], help="several processes that train together")
    command.add_argument("--solver", nargs="+", default=["als:side=none", "gibbs"], metavar="NAME[:key=value,...]")
    command.add_argument("--data", choices=[*REAL, "generated"], default="generated")
    command.add_argument("--millions", type=float, default=16, help="of generated ratings (16)")
    command.add_argument("--ranks", nargs="+", type=int, default=[1, 2], help="how many processes (1 2)")
    command.add_argument("--rounds", type=int, default=5, help="timed rounds, after one that is not (5)")
    return top


def main() -> int:
    """Print the table; returns the exit code."""
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["solvers", *arguments]
    options = parser().parse_args(arguments)
    options.python = dict(getattr(options, "python", ()))
    try:
        for line in TABLES[options.table](options):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
