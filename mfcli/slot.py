"""The place of a directory that is only ever changed as a whole: by renames, which a kill may fall between.

What is on its way lies beside it under hidden names. They alone say what a killed process left half-way, so that
whoever comes next can finish or undo it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mfcli.atomic import PART, remove
from mfcli.errors import ArtifactError
from mfcli.stage_file import STAGE_FILE

PREVIOUS = ".previous"


@dataclass(frozen=True)
class Slot:
    """The place of a directory, and the hidden places beside it.

    Attributes:
        path: where the directory lies.
    """

    path: Path

    def _beside(self, ending: str) -> Path:
        return self.path.parent / f".{self.path.name}.{ending}"

    @property
    def lock(self) -> Path:
        """The file that the only writer locks."""
        return self._beside("lock")

    @property
    def new(self) -> Path:
        """Where the directory is made that is to lie here."""
        return self._beside("new")

    @property
    def old(self) -> Path:
        """Where the former one waits until the new one is here."""
        return self._beside("old")

    @property
    def promoted(self) -> Path:
        """Where another slot's directory waits until this one's has stepped down."""
        return self._beside("promoted")

    @property
    def previous(self) -> "Slot":
        """Where this one's directory stays once another slot's was promoted."""
        return Slot(self.path.with_name(f"{self.path.name}{PREVIOUS}"))

    @property
    def is_previous(self) -> bool:
        """Whether it is the previous one of another, which a promotion fills."""
        return self.path.name.endswith(PREVIOUS)

    def damaged(self, what: str, command: str) -> ArtifactError:
        """The error of what is wrong with its directory, which the command makes again."""
        remedy = "no command makes a former model again: remove it" if self.is_previous else f"run `{command}` again"
        return ArtifactError(f"{what}: {remedy}")

    def made_again(self) -> ArtifactError:
        """The error of one who needs the directory to be as it was."""
        return ArtifactError(f"{self.path} was made again meanwhile: run this command again")

    def exists(self) -> bool:
        """Whether a complete directory is here, or on its way."""
        places = (self.path, self.old, self.promoted, self.path)  # where it may have come while we looked elsewhere
        return any(os.path.lexists(place / STAGE_FILE) for place in places)

    def fill(self) -> None:
        """Let the new directory take its place. :meth:`recover` finishes it after a kill between the renames."""
        if os.path.lexists(self.path):
            self.path.rename(self.old)
        self.new.rename(self.path)
        remove(self.old)

    def recover(self) -> None:
        """Finish :meth:`fill` if the new directory is complete, else undo it; remove what else was left."""
        if self.old.exists() and not os.path.lexists(self.path):
            (self.new if (self.new / STAGE_FILE).exists() else self.old).rename(self.path)
        for left in (self.old, self.new, *self.path.glob(f".*{PART}")):
            remove(left)

    def promote(self, other: "Slot") -> None:
        """Let the directory of another slot take its place; its own one becomes the previous one.

        The first rename decides: after a kill from there on, :meth:`step_down` does the rest.
        """
        other.path.rename(self.promoted)
        self.step_down()

    def step_down(self) -> None:
        """Make room for the directory that was promoted, and let it in. After a kill, doing it again does the rest."""
        before = self.previous.old
        if os.path.lexists(self.path):
            if os.path.lexists(self.previous.path):
                self.previous.path.rename(before)
            self.path.rename(self.previous.path)
        self.promoted.rename(self.path)
        remove(before)


def slots(folder: Path) -> list[Slot]:
    """The places in a folder at which a complete directory is, or on its way; sorted by name."""
    names = {path.name[1:].rpartition(".")[0] if path.name.startswith(".") else path.name for path in folder.glob("*")}
    return [slot for name in sorted(names - {""}) if (slot := Slot(folder / name)).exists()]
