"""evaluation.json: what ``mfcli evaluate`` says of a run, and what another run needs to be compared with it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfcli.atomic import atomic_file, from_json, open_regular, to_json
from mfcli.errors import ArtifactError
from mfcli.judging.results import Evaluation
from mfcli.judging.sums import Sums
from mfcli.typed import typed

FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluated:
    """An evaluation.json, read.

    Attributes:
        result: the fields of an Evaluation.
        inputs: fingerprints of the ``model`` and the ``data``, and the digest of the ``part``.
        sums: what the run's measures are made of.
    """

    result: dict[str, Any]
    inputs: dict[str, str]
    sums: Sums


def write_evaluation(path: Path, evaluated: Evaluated) -> None:
    """Write an evaluation.json; the sums, which are many numbers, in one line at its end."""
    text = to_json({**evaluated.result, "inputs": evaluated.inputs}).removesuffix("\n}\n")
    with atomic_file(path) as file:
        file.write(f'{text},\n  "sums": {json.dumps(evaluated.sums.plain(), allow_nan=False)}\n}}\n'.encode())


def read_evaluation(path: Path) -> Evaluated:
    """What :func:`write_evaluation` wrote. Raises ArtifactError if the file is not there, or is not that."""
    try:
        with open_regular(path) as file:
            document = from_json(file.read())
        sums, inputs = Sums.from_plain(document.pop("sums")), typed(dict[str, str], document.pop("inputs"))
        typed(Evaluation, document)
        lists = (document["ranking"] or {"lists": []})["lists"]
        if not inputs.keys() >= {"model", "data", "part"} or any("NDCG" not in one["run"] for one in lists):
            raise ValueError
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArtifactError(f"{path} is no {FILE} of this version of mfcli: run `mfcli evaluate` again") from None
    return Evaluated(document, inputs, sums)
