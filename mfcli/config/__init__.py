"""Every option once, a file a command: its default, unit, range and help, and what it excludes.

A stage takes one frozen dataclass from here; the command line makes its options of the same fields,
so that a flag, an ``MFCLI_*`` variable, a key of ``--config`` and an argument from Python are one thing.
"""
