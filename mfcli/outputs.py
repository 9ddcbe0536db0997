"""The files of a stage: what is recorded of their bytes, and reading that compares what it reads with that.

A file has a checksum as a whole, and one of each piece of a MiB if it is longer than that. Who needs all of a file
compares the whole. Who needs a part opens it as a :class:`CheckedFile`, and pays for the pieces that the part lies in:
one user's vector costs as much among millions as among a few. Either way no byte is used that is not as it was written.
"""

import hashlib
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfcli.atomic import AMISS, open_regular

PIECE = 2**20
"""Bytes of a piece."""

SEEKING = threading.Lock()
"""Held by a thread that opens or reads files: whoever reads the same descriptor shares its position."""


@dataclass(frozen=True)
class Output:
    """A file of a stage.

    Attributes:
        sha256: its checksum.
        bytes: its size.
        piece_bytes: size of a piece of it, but for the last one.
        pieces: the checksums of its pieces; none if it is in one piece.
    """

    sha256: str
    bytes: int
    piece_bytes: int = PIECE
    pieces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.bytes < 0 or self.piece_bytes < 1 or (self.pieces and len(self.pieces) != self._count):
            raise ValueError("its pieces are not those of its size")

    @property
    def _count(self) -> int:
        return -(-self.bytes // self.piece_bytes)

    @classmethod
    def of(cls, path: Path) -> "Output":
        """What there is to record of a file."""
        whole, pieces, size = hashlib.sha256(), [], 0
        with open_regular(path) as file:
            while piece := file.read(PIECE):
                whole.update(piece)
                pieces.append(hashlib.sha256(piece).hexdigest())
                size += len(piece)
        return cls(whole.hexdigest(), size, PIECE, tuple(pieces) if len(pieces) > 1 else ())

    def recorded(self) -> dict[str, Any]:
        """As stage.json has it."""
        pieces = {"piece_bytes": self.piece_bytes, "pieces": list(self.pieces)} if self.pieces else {}
        return {"sha256": self.sha256, "bytes": self.bytes, **pieces}

    def piece(self, place: int) -> tuple[int, int, str]:
        """Where the piece with the byte at that place begins, its size and its checksum."""
        if not self.pieces:
            return 0, self.bytes, self.sha256
        number = place // self.piece_bytes
        begin = number * self.piece_bytes
        return begin, min(self.piece_bytes, self.bytes - begin), self.pieces[number]


class CheckedFile(io.RawIOBase):
    """A file of a stage, open for reading: whatever is read of it was compared with its checksum, a piece at a time.

    Args:
        descriptor: of the file, which whoever opened it closes.
        output: what is recorded of it.
        fault: makes the error of what is said to be wrong with it.
    """

    def __init__(self, descriptor: int, output: Output, fault: Callable[[str], Exception]) -> None:
        self._descriptor, self._output, self._fault = descriptor, output, fault
        self._place, self._begin, self._piece = 0, -1, memoryview(b"")  # the last piece that was read in part
        if os.fstat(descriptor).st_size != output.bytes:
            raise fault(" is not what stage.json says")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._output.bytes}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the file goes. Raises the fault."""
        target, done = memoryview(buffer).cast("B"), 0
        target = target[: max(0, self._output.bytes - self._place)]
        while done < len(target):
            begin, size, checksum = self._output.piece(self._place)
            rest = target[done:]
            if begin == self._place and size <= len(rest):
                taken = self._read(rest[:size], begin, checksum)
            else:
                if begin != self._begin:
                    piece = memoryview(bytearray(size))
                    self._read(piece, begin, checksum)
                    self._begin, self._piece = begin, piece
                some = self._piece[self._place - begin :][: len(rest)]
                taken = len(some)
                rest[:taken] = some
            done += taken
            self._place += taken
        return done

    def _read(self, piece: memoryview, begin: int, checksum: str) -> int:
        """Fill a piece of that checksum with the bytes that begin there, and return how many they are."""
        try:
            with SEEKING, open(self._descriptor, "rb", closefd=False) as file:
                file.seek(begin)
                size = file.readinto(piece)
        except OSError as error:
            if error.errno not in AMISS:
                raise
            raise self._fault(f": {error.strerror}") from None
        if hashlib.sha256(piece[:size]).hexdigest() != checksum:
            raise self._fault(" is not what stage.json says")
        return size
