"""Options of ``mfcli download``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from mfcli.config.common import SEEDS, Config
from mfcli.errors import UsageError
from mfcli.option import Opt


@dataclass(frozen=True, kw_only=True)
class DownloadConfig(Config):
    """Options of ``mfcli download``."""

    command: ClassVar[str] = "download"
    decider: ClassVar[str] = "name"
    panels: ClassVar = {
        "Where from": ("source", "mirror", "force", "retries", "timeout"),
        "For synthetic": ("users", "items", "ratings", "rank", "noise", "seed"),
    }

    name: Annotated[
        str,
        Opt("A data set of the catalogue (--list), or 'synthetic'.", argument=True, is_name=True),
    ] = "ml-latest-small"
    list: Annotated[bool, Opt("Show the catalogue and do nothing else.", recorded=False)] = False
    source: Annotated[
        Path | None,
        Opt(
            "Take the zip or folder at PATH instead of the network.",
            flag="--from",
            metavar="PATH",
            recorded=False,
        ),
    ] = None
    mirror: Annotated[str | None, Opt("Another base address to download from.", metavar="URL", recorded=False)] = None
    force: Annotated[bool, Opt("Fetch again what is already there.", recorded=False)] = False
    retries: Annotated[
        int,
        Opt("How often to try again after a failed download.", range="[0, 100]", recorded=False),
    ] = 3
    timeout: Annotated[
        float,
        Opt("Seconds to wait for an answer before a try counts as failed.", range="(0, 86400]", recorded=False),
    ] = 30.0
    users: Annotated[int, Opt("Number of users.", range="[2, 1e8]", only=("synthetic",))] = 1000
    items: Annotated[int, Opt("Number of items.", range="[2, 1e8]", only=("synthetic",))] = 1700
    ratings: Annotated[int, Opt("Number of ratings.", range="[10, 1e9]", only=("synthetic",))] = 100_000
    rank: Annotated[int, Opt("Number of planted factors.", range="[0, 1000]", only=("synthetic",))] = 8
    noise: Annotated[
        float,
        Opt("Standard deviation of the noise, in rating points.", range="[0, inf)", only=("synthetic",)),
    ] = 0.75
    seed: Annotated[int, Opt("Seed of synthetic data.", range=SEEDS, shared=True)] = 1234

    def check(self) -> None:
        if self.name == "synthetic" and (self.source is not None or self.mirror is not None):
            raise UsageError("--from and --mirror have no meaning for synthetic data")
        if self.source is not None and self.mirror is not None:
            raise UsageError("--from and --mirror exclude each other")
        if self.mirror is not None and not re.fullmatch(r"https?://[^/?#\s]+[^?#\s]*", self.mirror, re.IGNORECASE):
            raise UsageError(f"--mirror: '{self.mirror}' is no address (http://HOST/PATH or https://HOST/PATH)")
