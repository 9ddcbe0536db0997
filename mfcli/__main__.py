"""``python -m mfcli`` is ``mfcli``."""

from mfcli.cli.app import main

main()
