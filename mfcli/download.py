"""``mfcli download``: put a data set's published files under raw/, checked."""

import logging
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from mfcli.artifacts import Artifacts, Draft, Stage
from mfcli.catalog import SYNTHETIC, DataSet, find
from mfcli.config import DownloadConfig
from mfcli.console import Progress
from mfcli.errors import ArtifactError, DownloadError, UsageError

SYNTHETIC_OPTIONS = ("users", "items", "ratings", "rank", "noise", "seed")


@dataclass(frozen=True)
class Downloaded:
    """The result.

    Attributes:
        name: the data set's name.
        path: where its files are.
        files: their names.
        already_there: nothing had to be done.
        oracle_rmse: of the true model, for synthetic data.
    """

    name: str
    path: Path
    files: list[str]
    already_there: bool
    oracle_rmse: float | None = None


def download(config: DownloadConfig, progress: Progress | None = None) -> Downloaded:
    """Fetch, copy or generate the data set ``config.name``.

    Raises:
        UsageError: there is no such data set, or the options do not go together.
        DownloadError: the network, the checksum or the archive.
        ArtifactError: another process writes to the same place.
    """
    progress = progress or Progress()
    dataset = None if config.name == SYNTHETIC else find(config.name)
    _check(config, dataset)
    stage = Artifacts(config.dir).raw(config.name)
    with stage.lock(config.lock_timeout):
        if not config.force and config.source is None and _in_place(stage, config, dataset):
            return _result(stage, config, already_there=True)
        with stage.replace(_relevant(config, dataset), {}) as draft:
            if dataset is None:
                from mfcli import synthetic

                draft.figures.update(synthetic.write(config, draft.path))
            elif config.source is not None:
                _take(config.source, dataset, draft, progress)
            else:
                _fetch(config, dataset, draft, progress)
            if dataset is not None:
                _require_files(dataset, draft.path)
        return _result(stage, config, already_there=False)


def _check(config: DownloadConfig, dataset: DataSet | None) -> None:
    if dataset is None and (config.source is not None or config.mirror is not None):
        raise UsageError("--from and --mirror have no meaning for synthetic data")
    if config.source is not None and config.mirror is not None:
        raise UsageError("--from and --mirror exclude each other")
    if dataset is not None:
        changed = _changed(config)
        if changed:
            raise UsageError(f"--{changed[0]} is for synthetic data; {dataset.name} is as published")


def _changed(config: DownloadConfig) -> list[str]:
    # The seed is one for all commands, and may be in the environment for their sake.
    names = [name for name in SYNTHETIC_OPTIONS if name != "seed"]
    return [f.name for f in fields(config) if f.name in names and getattr(config, f.name) != f.default]


def _relevant(config: DownloadConfig, dataset: DataSet | None) -> DownloadConfig:
    """The options as recorded: a published set is the same whatever the seed."""
    return config if dataset is None else DownloadConfig(dir=config.dir, name=config.name)


def _in_place(stage: Stage, config: DownloadConfig, dataset: DataSet | None) -> bool:
    """Whether a whole, undamaged copy made by these options is there."""
    if not stage.exists():
        return False
    try:
        record = stage.record()
        record.check()
    except ArtifactError:
        return False
    return record.config == _relevant(config, dataset).recorded()


def _result(stage: Stage, config: DownloadConfig, *, already_there: bool) -> Downloaded:
    record = stage.record()
    return Downloaded(config.name, stage.path, sorted(record.files), already_there, record.figures.get("oracle_rmse"))


def _fetch(config: DownloadConfig, dataset: DataSet, draft: Draft, progress: Progress) -> None:
    """Download the archive beside the draft, check it, unpack it."""
    address = dataset.address(config.mirror)
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=draft.path.parent) as folder:
        md5 = dataset.md5 or _published_md5(f"{address}.md5", Path(folder), config)
        archive = _retrieve(address, f"md5:{md5}", Path(folder), config, progress)
        unpack(archive, draft.path)
    draft.figures.update({"address": address, "md5": md5})


def _published_md5(address: str, folder: Path, config: DownloadConfig) -> str:
    """The checksum in the file that GroupLens keeps beside a set that changes."""
    text = _retrieve(address, None, folder, config, Progress()).read_text("utf-8", errors="replace")
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if not found:
        raise DownloadError(f"{address}: there is no MD5 checksum in it")
    return found[0].lower()


def _retrieve(address: str, checksum: str | None, folder: Path, config: DownloadConfig, progress: Progress) -> Path:
    """Download one file with pooch: retries, time-outs, the system's proxies, TLS verified, whole or not at all."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.CRITICAL)  # it writes to standard error by itself
    base, _, name = address.rpartition("/")
    keeper = pooch.create(folder, f"{base}/", registry={name: checksum}, retry_if_failed=config.retries)
    with progress.bar(name, None, bytes=True) as advance:
        downloader = pooch.HTTPDownloader(progressbar=_Bar(advance), timeout=config.timeout)
        try:
            return Path(keeper.fetch(name, downloader=downloader))
        except ValueError as error:
            if "hash" not in str(error).lower():
                raise DownloadError(f"{address}: {error}") from None
            raise DownloadError(f"{address}: its checksum is not {checksum}: damaged on the way, or changed") from None
        except (requests.RequestException, OSError) as error:
            raise DownloadError(
                f"{address}: {_reason(error)} (tried {config.retries + 1} times): "
                "look at the network, or give --mirror URL or --from PATH"
            ) from None


def _reason(error: BaseException) -> str:
    """The innermost message of requests' nested ones."""
    text = " ".join(str(error).split())
    inner = re.search(r"(?:Caused by |: )(\w+(?:Error|Refused|Timeout)\w*)\((.*)\)", text)
    return inner[0].removeprefix("Caused by ").removeprefix(": ") if inner else text or type(error).__name__


class _Bar:
    """What pooch expects of a progress bar."""

    def __init__(self, advance: Any) -> None:
        self.advance, self.total = advance, 0

    def update(self, amount: float) -> None:
        self.advance(amount)

    def reset(self) -> None:
        """pooch sets a bar back before it moves it to its end."""

    def close(self) -> None:
        """The bar is closed by the block that opened it."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into ``folder``, without the one folder that holds everything in it.

    Raises:
        DownloadError: it is not a zip, is damaged, or a member climbs out of the folder.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [(m, _safe(m, archive)) for m in file.infolist() if not m.is_dir()]
            tops = {path.parts[0] for _, path in members}
            strip = len(tops) == 1 and all(len(path.parts) > 1 for _, path in members)
            for member, path in members:
                target = folder.joinpath(*path.parts[int(strip) :])
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"{archive}: not a zip that can be unpacked ({error})") from None


def _safe(member: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    link = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or link:
        raise DownloadError(f"{archive}: refused, its member '{member.filename}' leads out of its folder")
    return path


def _take(source: Path, dataset: DataSet, draft: Draft, progress: Progress) -> None:
    """Copy a folder, or check and unpack a zip, that is already on disk."""
    if source.is_dir():
        progress.note(f"copying {source}: a folder has no checksum to compare")
        shutil.copytree(source, draft.path, dirs_exist_ok=True)
        (draft.path / "stage.json").unlink(missing_ok=True)
        return
    if not source.is_file():
        raise DownloadError(f"--from {source}: no such file or folder")
    if dataset.md5 is not None:
        import pooch

        found = pooch.file_hash(str(source), alg="md5")
        if found != dataset.md5:
            raise DownloadError(
                f"{source}: its MD5 is {found}, not {dataset.md5} as published: "
                "it is damaged or another edition; to use it all the same, unpack it and give the folder"
            )
    unpack(source, draft.path)


def _require_files(dataset: DataSet, folder: Path) -> None:
    for name in (dataset.layout.ratings, dataset.layout.items):
        if not (folder / name).is_file():
            raise DownloadError(f"there is no {name} in it: not {dataset.name}")
