"""``python -m mfcli`` is ``mfcli``."""

from mfcli.cli import main

main()
