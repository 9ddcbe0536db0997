"""``python -m mfcli``, and the console script ``mfcli``."""

import gc
import sys

from mfcli.signals import die_on_stop


def main() -> None:
    """Run the command line and exit with its code. A signal before it runs, or after, ends the process at once."""
    die_on_stop()
    gc.set_threshold(100_000)  # modules are no garbage, and looking for some among them takes a tenth of a second
    from mfcli.cli.app import run

    sys.exit(run())


if __name__ == "__main__":
    main()
