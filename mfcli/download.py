"""``mfcli download``: put a data set's published files under raw/, checked."""

import contextlib
import hashlib
import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfcli.artifacts import Artifacts
from mfcli.atomic import sha256
from mfcli.config.download import DownloadConfig
from mfcli.data.archive import unpack
from mfcli.data.catalogue import SYNTHETIC, DataSet, Planted, find
from mfcli.errors import ArtifactError, DownloadError
from mfcli.progress import Progress
from mfcli.record import Record
from mfcli.stage import Draft, Stage
from mfcli.stage_file import STAGE_FILE

if TYPE_CHECKING:
    import requests


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
        UsageError: there is no such data set.
        DownloadError: the network, the checksum or the archive.
        ArtifactError: another process writes to the same place.
    """
    progress = progress or Progress()
    dataset = None if config.name == SYNTHETIC else find(config.name)
    stage = Artifacts(config.dir).raw(config.name)
    with stage.lock(config.lock_timeout):
        if not config.force and _in_place(stage, config, dataset):
            return _result(stage, config, already_there=True)
        with stage.replace(_relevant(config, dataset), {}) as draft:
            if dataset is None:
                from mfcli.data import synthetic

                draft.results.update(synthetic.write(config, draft.path))
            elif config.source is not None:
                _take(config.source, dataset, draft, progress)
            else:
                _fetch(config, dataset, draft, progress)
        return _result(stage, config, already_there=False)


def _relevant(config: DownloadConfig, dataset: DataSet | None) -> DownloadConfig:
    """The options as recorded: a published set is the same whatever the seed."""
    return config if dataset is None else DownloadConfig(dir=config.dir, name=config.name)


def _in_place(stage: Stage, config: DownloadConfig, dataset: DataSet | None) -> bool:
    """Whether a whole, undamaged copy made by these options, and of what --from names, is there."""
    if not stage.exists():
        return False
    try:
        record = stage.record()
        record.check()
    except ArtifactError:
        return False
    same_options = record.config == _relevant(config, dataset).recorded()
    return same_options and (config.source is None or _same_content(record, config.source))


def _same_content(record: Record, source: Path) -> bool:
    if source.is_dir():
        return all((source / name).is_file() and sha256(source / name) == sha for name, sha in record.files.items())
    return source.is_file() and _md5(source) == record.results.get("md5")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _result(stage: Stage, config: DownloadConfig, *, already_there: bool) -> Downloaded:
    record = stage.record()
    return Downloaded(config.name, stage.path, sorted(record.files), already_there, record.told(Planted).oracle_rmse)


def _fetch(config: DownloadConfig, dataset: DataSet, draft: Draft, progress: Progress) -> None:
    """Download the archive into the draft, check it, unpack it."""
    address = dataset.address(config.mirror)
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=draft.path) as folder:
        md5 = dataset.md5 or _published_md5(f"{address}.md5", Path(folder), config)
        archive = _retrieve(address, f"md5:{md5}", Path(folder), config, progress)
        unpack(archive, draft.path, _shown(address))
    _require_files(dataset, draft.path, _shown(address))
    draft.results.update({"address": _shown(address), "md5": md5})


def _shown(address: str) -> str:
    """The address without a user's name and password."""
    return re.sub(r"//[^/]*@", "//", address)


def _published_md5(address: str, folder: Path, config: DownloadConfig) -> str:
    """The checksum in the file that GroupLens keeps beside a set that changes."""
    text = _retrieve(address, None, folder, config, Progress()).read_text("utf-8", errors="replace")
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if not found:
        raise DownloadError(f"{_shown(address)}: there is no MD5 checksum in it: is it the right address?")
    return found[0].lower()


def _retrieve(address: str, checksum: str | None, folder: Path, config: DownloadConfig, progress: Progress) -> Path:
    """Download one file with pooch: retries, time-outs, the system's proxies, TLS verified, whole or not at all."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.CRITICAL)  # it writes to standard error by itself
    base, _, name = address.rpartition("/")
    keeper = pooch.create(folder, f"{base}/", registry={name: checksum}, retry_if_failed=config.retries)
    tries = f"{config.retries + 1} times" if config.retries else "once"
    with _Bar(progress, name) as bar:
        downloader = pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=1 << 16,
            timeout=config.timeout,
            hooks={"response": _look_at},
        )
        try:
            return Path(keeper.fetch(name, downloader=downloader))
        except requests.RequestException as error:
            raise DownloadError(
                f"{_shown(address)}: {_reason(error)} (tried {tries}): "
                "look at the network, or give --mirror URL or --from PATH"
            ) from None
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            raise DownloadError(f"{_shown(address)}: {_reason(error)} (REQUESTS_CA_BUNDLE names it)") from None
        except ValueError as error:
            if "hash" not in str(error).lower():
                raise DownloadError(f"{_shown(address)}: {error}") from None
            raise DownloadError(
                f"{_shown(address)}: its checksum is not {checksum}: damaged on the way, or changed "
                f"(tried {tries}): try later, or another --mirror URL"
            ) from None


def _look_at(got: "requests.Response", **_: Any) -> None:
    """Close an answer that is an error, which pooch would leave open. Raise RequestException for a step out of TLS."""
    import requests

    unsafe = got.url.lower().startswith("https:") and got.headers.get("location", "").lower().startswith("http:")
    if unsafe or not got.ok:
        got.close()
    if unsafe:
        raise requests.exceptions.InvalidURL("redirected from https to http")


def _reason(error: BaseException) -> str:
    """What the innermost of requests' nested errors says."""
    first = error.args[0] if error.args else None
    for inner in (getattr(error, "reason", None), first):
        if isinstance(inner, BaseException):
            return _reason(inner)
    text = first if isinstance(first, str) else str(error) or type(error).__name__
    return _shown(re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): | for url: \S*$", "", text))


class _Bar(contextlib.ExitStack):
    """What pooch expects of a progress bar. Each try opens one, when it knows the total."""

    def __init__(self, progress: Progress, text: str) -> None:
        super().__init__()
        self.progress, self.text = progress, text
        self._total, self.left = 0, 0.0
        self.advance: Callable[[float], None] = lambda _: None

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, count: int) -> None:
        self.close()
        self._total, self.left = count, count or float("inf")  # 0: the server does not say
        self.advance = self.enter_context(self.progress.bar(self.text, count or None, bytes=True))

    def update(self, amount: float) -> None:
        """pooch counts whole blocks, and all of it once more at the end."""
        amount = min(amount, self.left)
        self.left -= amount
        self.advance(amount)

    def reset(self) -> None:
        """pooch sets a bar back before it moves it to its end: here it is there already."""


def _take(source: Path, dataset: DataSet, draft: Draft, progress: Progress) -> None:
    """Copy a folder, or check and unpack a zip, that is already on disk."""
    if source.is_dir():
        _require_files(dataset, source, str(source))
        progress.note(f"copying {source}: a folder has no checksum to compare")
        _copy(source, draft.path)
        return
    if not source.is_file():
        raise DownloadError(f"--from {source}: no such file or folder")
    md5 = _md5(source)
    if dataset.md5 not in (None, md5):
        raise DownloadError(
            f"{source}: its MD5 is {md5}, not {dataset.md5} as published: "
            "it is damaged or another edition; to use it all the same, unpack it and give the folder"
        )
    unpack(source, draft.path, str(source))
    _require_files(dataset, draft.path, str(source))
    draft.results["md5"] = md5


def _copy(source: Path, target: Path) -> None:
    """Copy a folder into another, which may lie somewhere within it. Raises DownloadError."""

    def leading_to_target(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if target.resolve().is_relative_to(Path(folder, name).resolve())]

    try:
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=leading_to_target)
    except shutil.Error as error:
        file, _, reason = error.args[0][0]
        raise DownloadError(f"{file}: it cannot be copied ({reason})") from None
    (target / STAGE_FILE).unlink(missing_ok=True)


def _require_files(dataset: DataSet, folder: Path, name: str) -> None:
    for wanted in (dataset.layout.ratings, dataset.layout.items):
        if not (folder / wanted).is_file():
            raise DownloadError(f"{name}: there is no {wanted} in it: it is not {dataset.name}")
