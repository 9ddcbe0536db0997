"""What errors in files advise: nothing but what the command at hand can do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfcli.config.common import Config
from mfcli.config.prepare import PrepareConfig
from mfcli.config.recommend import RecommendConfig
from mfcli.data.files import find_source
from mfcli.data.id_files import IDS, read_ids
from mfcli.data.new_items import WANTED
from mfcli.data.newcomers import read_newcomers
from mfcli.data.pairs import read_pairs
from mfcli.data.readers import read_ratings
from mfcli.data.titles import read_own_items
from mfcli.errors import DataError
from tests.test_newcomers import TITLES, prepared_of

NAMES = "user,item,rating,title"
FAULTS = {
    "a quote that is not closed": f'{NAMES}\n1,1,"4,a\n',
    "a quote over rows": f'{NAMES}\n1,"1,4,a\n1,2,4,a\n1,3",4,a\n',
    "cp1252": f"{NAMES}\nJosé,1,4,é\n".encode("cp1252"),
    "UTF-16 without a mark": f"{NAMES}\n1,1,4,a\n".encode("utf-16-le"),
    "UTF-16 that is cut": b"\xff\xfe" + f"{NAMES}\n1,1,4,a\n".encode("utf-16-le") + b"\xd8",
    "no separator": "user/item\n1/2\n",
    "a comment": f"# {NAMES}, of mine\n1,1,4,a\n",
    "no column of that name": "a,b,c,d\n1,1,4,a\n",
    "a name twice": "item,item,user,user,rating,rating,title\n1,1,1,1,4,4,a\n",
    "many columns without names": "1,2,3,4,5,6,7\n1,2,3,4,5,6,7\n",
    "too few columns": f"{NAMES}\n1\n",
    "a decimal comma": 'user;item;rating;title\n1;1;"4,5";a\n',
    "a thousand": f'{NAMES}\n1,1,"1,000",a\n',
    "no rating": f"{NAMES}\n1,1,,a\n",
    "NA": f"{NAMES}\n1,1,NA,a\n",
    "inf": f"{NAMES}\n1,1,inf,a\n",
    "a per cent": f"{NAMES}\n1,1,85%,a\n",
    "a fraction": f"{NAMES}\n1,1,8/10,a\n",
    "no id": f"{NAMES}\n,,4,a\n",
    "a text": "1,some words\n2,more words\n",
}
READERS: dict[str, tuple[type[Config], Callable[[Path], Any]]] = {
    "prepare --ratings": (PrepareConfig, lambda path: read_ratings(find_source(path, ()))),
    "prepare --items": (PrepareConfig, lambda path: read_own_items(find_source(path, ()))),
    "recommend --ratings": (RecommendConfig, lambda path: read_newcomers(path, prepared_of(TITLES), _stop)),
    "recommend --pairs": (RecommendConfig, lambda path: read_pairs(path, _stop)),
    "recommend --users-from": (RecommendConfig, lambda path: read_ids(path, IDS.users)),
    "recommend --items-from": (RecommendConfig, lambda path: read_ids(path, IDS.items)),
    "recommend --items-new": (RecommendConfig, lambda path: read_own_items(find_source(path, ()), wanted=WANTED)),
}


def _stop(text: str) -> None:
    """As --strict has it."""
    raise DataError(text)


@pytest.mark.parametrize("reader", READERS)
def test_no_error_advises_an_option_that_the_command_has_not(reader: str, tmp_path: Path) -> None:
    kind, read = READERS[reader]
    flags, messages = {option.flag for option in kind.options()}, []
    for content in FAULTS.values():
        path = tmp_path / "file.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            read(path)
        except DataError as error:
            messages.append(str(error))
    advised = {flag for one in messages for flag in re.findall(r"--[a-z-]+", re.sub(r"`mfcli [^`]+`", "", one))}
    assert advised <= flags
    assert len(messages) >= 2
    assert not any("\n" in one for one in messages)


@pytest.mark.parametrize("values", [["4,5", "3"], ["NA", "3"], ["85%", "3"], ["inf", "3"]])
def test_a_table_advises_no_other_than_a_text(values: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"item": [1, 300], "rating": values}), path)
    with pytest.raises(DataError) as caught:
        read_newcomers(path, prepared_of(TITLES), _stop)
    assert "--" not in str(caught.value)
