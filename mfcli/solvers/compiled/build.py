"""Compiling the kernels: for several kinds of processor, of which :mod:`mfcli.solvers.compiled.kernels` picks one.

It needs a C compiler alone, and the standard library: it is run where mfcli is installed (``hatch_build.py``), and by
hand, as ``python -m mfcli.solvers.compiled.build``, after a change.
"""

import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

SOURCES = ("vectors.h", "tiles.h", "equations.h", "gather.h", "long.c", "short.c", "step.c")
HERE = Path(__file__).parent
FLAGS = "-std=gnu11 -O3 -ffp-contract=fast -fno-math-errno -fPIC -shared -Wall -Wextra -Wno-psabi"
KINDS = {
    "default": "",
    "avx2": "-mavx2 -mfma",
    "avx512": "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma",
}
"""Flags for kinds of processor, each of which runs what is for those before it. The names are torch's in lower case."""


def library(kind: str, folder: Path = HERE) -> Path:
    """Where the kernels for that kind of processor are: under a name of what they are made of, and so no others.

    Raises:
        OSError: the sources are not there.
    """
    return folder / f"kernels-{_digest()}-{sysconfig.get_platform()}-{kind}.so"


@functools.cache
def _digest() -> str:
    parts = [(HERE / name).read_bytes() for name in SOURCES]
    return hashlib.sha256(b"".join([*parts, repr((FLAGS, KINDS)).encode()])).hexdigest()[:12]


def kinds() -> list[str]:
    """The kinds that there are of this machine's processors."""
    return list(KINDS) if platform.machine().lower() in ("x86_64", "amd64") else ["default"]


def build(folder: Path = HERE) -> list[Path]:
    """Compile them into a folder, in place of those of other sources; without the kinds that a compiler does not know.

    Raises:
        OSError: there is no compiler, or no writing there.
        ValueError: what the variable ``CC`` says is no command.
        subprocess.CalledProcessError: the compiler takes the sources for no kind; ``stderr`` says why.
    """
    built = []
    with tempfile.TemporaryDirectory(dir=folder) as work:
        for kind in kinds():
            path = library(kind, folder)
            made = Path(work, path.name)
            sources = [str(HERE / name) for name in SOURCES if name.endswith(".c")]
            command = [*_compiler(), *FLAGS.split(), *KINDS[kind].split(), "-o", str(made), *sources, "-lm"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                made.replace(path)
                built.append(path)
            elif not built:
                done.check_returncode()
    for old in set(folder.glob(f"kernels-*-{sysconfig.get_platform()}-*.so")) - set(built):
        old.unlink(missing_ok=True)
    return built


def _compiler() -> list[str]:
    if "CC" in os.environ:
        return shlex.split(os.environ["CC"])
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise FileNotFoundError("there is no C compiler")
    return [found]


if __name__ == "__main__":
    print(*build(), sep="\n")
