"""The errors a user can meet, each with the exit code of the process that meets it.

    MfcliError
    ├── UsageError       2  an option that cannot be, alone or with the others
    ├── ArtifactError    3  an artifact that is missing, stale, damaged, locked or cannot be written
    ├── DataError        4  ratings, items or ids that cannot be used
    ├── DownloadError    5  the network, a checksum or an archive
    ├── DivergedError    6  training left the finite numbers
    ├── GateError        7  the model is worse than the bound that the user set
    ├── PeerError        8  another of several processes that train together has ended
    └── ClosedPipe     141  nobody reads standard output any more

    Stopped        130/143  Ctrl-C or SIGTERM
    StoppedAtOnce  130/143  the second of them

The last two are no Exception, as KeyboardInterrupt is none, so that no library takes them for a failure of its own.

Every message is one line: what is wrong, where, and what to do.
"""

import signal


class MfcliError(Exception):
    """Base class. ``exit_code`` is what the process returns."""

    exit_code = 1


class UsageError(MfcliError):
    exit_code = 2


class ArtifactError(MfcliError):
    exit_code = 3


class DataError(MfcliError):
    exit_code = 4


class DownloadError(MfcliError):
    exit_code = 5


class DivergedError(MfcliError):
    exit_code = 6


class GateError(MfcliError):
    exit_code = 7


class PeerError(MfcliError):
    exit_code = 8


class ClosedPipe(MfcliError):
    """Whoever read our standard output has gone (``| head``)."""

    exit_code = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 141


class Stopped(BaseException):
    """A signal asked the process to stop; raised where stopping loses nothing."""

    def __init__(self, signum: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


class StoppedAtOnce(BaseException):
    """A second signal: raised wherever the process was, so that nothing half-done may be saved."""

    def __init__(self, signum: int) -> None:
        super().__init__("stopped at once")
        self.exit_code = 128 + signum


def error_of(code: int, message: str) -> MfcliError | Stopped:
    """The error of that exit code, as another process met it."""
    kinds = [kind for kind in MfcliError.__subclasses__() if kind.exit_code == code]
    return kinds[0](message) if kinds else Stopped(code - 128, message)


EXIT_CODES: dict[int, str] = {
    0: "ok",
    1: "a bug in mfcli (with a traceback)",
    2: "usage: an option or its value",
    3: "artifact missing, stale, damaged, locked or not writable; disk or memory full",
    4: "bad data",
    5: "download, checksum or archive",
    6: "training diverged",
    7: "quality gate not met",
    8: "another process of the run has ended (torchrun)",
    130: "Ctrl-C",
    141: "closed pipe",
    143: "SIGTERM",
}
