"""Matrix factorization from the shell, and trained runs in Python: ``mfcli.load()``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfcli.api import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``load``, imported when it is asked for: the command line does without it."""
    if name != "load":
        raise AttributeError(f"module 'mfcli' has no attribute '{name}'")
    from mfcli.api import load

    return load
