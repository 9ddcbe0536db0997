"""Unpacking a zip that somebody else made, without trusting it."""

import errno
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from mfcli.errors import ArtifactError, DownloadError
from mfcli.stage_file import STAGE_FILE

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)
"""What Python's zipfile raises when it meets a broken or strange archive."""

BROKEN_ERRNO = (None, errno.EINVAL, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""Errors of the system (None: of bz2) for which an archive is to blame, not the disk."""


LARGEST_RATIO = 200
UNSUSPECTED = 1 << 30
"""Times its size, and bytes, up to which the content of an archive is believed. Files of ratings shrink to a tenth."""


def most_bytes(size: int) -> int:
    """How many bytes an archive of that size may yield before it is taken for one made to fill disk or memory."""
    return max(UNSUSPECTED, LARGEST_RATIO * size)


def unpack(archive: Path, folder: Path, name: str) -> None:
    """Unpack a zip into ``folder``, without the one folder that holds everything in it.

    Args:
        archive: the zip.
        folder: an empty folder.
        name: of the archive, in messages.

    Raises:
        DownloadError: it is not a zip, is damaged, made to fill the disk, or a member climbs out of the folder.
        ArtifactError: the disk has no room for it.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [(m, _safe(m, name)) for m in file.infolist() if not m.is_dir()]
            _require_sense(sum(m.file_size for m, _ in members), archive.stat().st_size, name)
            _require_room(sum(m.file_size for m, _ in members), folder, name)
            tops = {path.parts[0] for _, path in members}
            has_top_folder = len(tops) == 1 and all(len(path.parts) > 1 for _, path in members)
            for member, path in members:
                target = folder.joinpath(*(path.parts[1:] if has_top_folder else path.parts))
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
        (folder / STAGE_FILE).unlink(missing_ok=True)  # the name is ours
    except BROKEN as error:
        raise DownloadError(f"{name}: not a zip that can be unpacked ({error})") from None
    except OSError as error:
        if error.errno not in BROKEN_ERRNO:
            raise
        raise DownloadError(f"{name}: not a zip that can be unpacked ({error.strerror or error})") from None


def _safe(member: zipfile.ZipInfo, archive: str) -> PurePosixPath:
    """The member's path, if it stays within. Raises DownloadError."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    outside = path.is_absolute() or not path.parts or any(part == ".." or ":" in part for part in path.parts)
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        raise DownloadError(f"{archive}: refused, its member {member.filename!r} leads out of its folder")
    return path


def _require_sense(wanted: int, size: int, name: str) -> None:
    """An archive cannot yield more than it declares. Raises DownloadError."""
    if wanted > most_bytes(size):
        raise DownloadError(f"{name}: refused, it unpacks to {wanted / size:,.0f} times its size, as no data set does")


def _require_room(wanted: int, folder: Path, name: str) -> None:
    """Before a byte is written. Raises ArtifactError."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise ArtifactError(
            f"{folder.parent}: {name} unpacks to {wanted / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free: make room"
        )
