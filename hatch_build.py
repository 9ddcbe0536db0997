"""Compiles the kernels where mfcli is built or installed; without a compiler it is installed without them."""

import runpy
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

COMPILED = "mfcli/solvers/compiled"


class CompiledKernels(BuildHookInterface[Any]):
    """The hook: see :mod:`mfcli.solvers.compiled.build`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = runpy.run_path(str(Path(self.root, COMPILED, "build.py")))["build"]
        try:
            if version == "editable":
                build()
                return
            self.made = tempfile.TemporaryDirectory()
            libraries = build(Path(self.made.name))
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            why = getattr(error, "stderr", None) or str(error)
            self.app.display_warning(f"mfcli without compiled kernels, which take a half to a third of the time: {why}")
            return
        build_data["force_include"] |= {str(path): f"{COMPILED}/{path.name}" for path in libraries}
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{self._platform()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "made"):
            self.made.cleanup()

    def _platform(self) -> str:
        """This one, without a claim that nobody has checked."""
        platforms = (tag.platform for tag in sys_tags())
        return next(name for name in platforms if not name.startswith(("manylinux", "musllinux")))
