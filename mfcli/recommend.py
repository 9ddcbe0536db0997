"""``mfcli recommend``: the items that users have not rated and would like best, and what else a model can tell."""

import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mfcli.artifacts import Artifacts
from mfcli.atomic import atomic_file, output_file
from mfcli.config.common import RankBy
from mfcli.config.recommend import RecommendConfig
from mfcli.data.formats import FORMATS, Format
from mfcli.errors import UsageError
from mfcli.models.run import TrainedRun, open_run, require_uncertainty
from mfcli.progress import Progress
from mfcli.ranks import ALONE, Place, place
from mfcli.serving.answer import Answer, doubter
from mfcli.serving.lists import lists
from mfcli.serving.spread import Spread


@dataclass(frozen=True)
class Recommended:
    """The result.

    Attributes:
        run: whose model recommended.
        asked: for how many users, pairs or items there was an answer.
        rows: how many recommendations, predictions or items that came to.
        path: the file they are in; None for standard output.
    """

    run: str
    asked: int
    rows: int
    path: Path | None


def recommend(config: RecommendConfig, stdout: IO[bytes], progress: Progress | None = None) -> Recommended:
    """Write what is asked for to a file, which appears when all is in it, or to ``stdout``.

    Raises:
        UsageError: the options do not fit each other or the run.
        DataError: a user or an item is unknown, or a file cannot be used.
        ArtifactError: run or data are absent, damaged or not of each other.
    """
    name = output_format(config)
    form = FORMATS[name]
    if not form.text and config.to_file is None and not config.save and stdout.isatty():
        raise UsageError(f"--format {name}: a terminal cannot show it; give --output FILE")
    if config.to_file is not None:
        Artifacts(config.dir).require_outside(config.to_file)
    progress = progress or Progress()
    if place().world > 1:
        return _shared(config, form, stdout, progress)
    return _written(config, form, *answered(config, progress), stdout)


def _shared(config: RecommendConfig, form: Format, stdout: IO[bytes], progress: Progress) -> Recommended:
    """The same of several processes, of which the first one writes what all of them find."""
    from mfcli.solvers.group import joined  # torch, which nothing else here needs

    with joined() as compute:
        with compute.together():
            if not config.all_users:
                raise UsageError("several processes share --all-users; anything else is for one: leave torchrun out")
            trained, answer = answered(config, progress, place())
        answer = answer._replace(blocks=compute.in_turn(answer.blocks))
        if compute.first:
            return _written(config, form, trained, answer, stdout)
        return Recommended(config.run, answer.asked, len(list(answer.blocks)), None)


def _written(
    config: RecommendConfig, form: Format, trained: TrainedRun, answer: Answer, stdout: IO[bytes]
) -> Recommended:
    """The result, after the answer has been written."""
    path = trained.record.path / f"recommendations{form.ending}" if config.save else config.to_file
    first, written = list(itertools.islice(answer.blocks, 1)), 0  # errors come before the file is opened
    with contextlib.ExitStack() as stack:
        if config.save:
            stack.enter_context(trained.locked(config.lock_timeout))
        file = stdout if path is None else stack.enter_context((atomic_file if config.save else output_file)(path))
        writer = form.writer(file, answer.columns)
        try:
            for block in itertools.chain(first, answer.blocks):
                writer.write(block)
                written += len(block[answer.columns[0].name])
        except BaseException:
            writer.abandon()
            raise
        writer.close()
    return Recommended(config.run, answer.asked, written, path)


def answered(config: RecommendConfig, progress: Progress, here: Place = ALONE) -> tuple[TrainedRun, Answer]:
    """The run, and what it answers; of several processes the lists that are for this one to make.

    Raises as :func:`recommend`.
    """
    trained = _open(config, progress)
    return trained, _answer(config, trained, progress, here)


def output_format(config: RecommendConfig) -> str:
    """The format asked for, else the one of --output's ending, else csv with --save or --pairs, else a table.

    Raises:
        UsageError: the ending is not one of a format's.
    """
    if config.format is not None:
        return config.format
    if config.to_file is None:
        return "csv" if config.save or config.pairs else "table"
    for name, form in FORMATS.items():
        if form.ending == config.to_file.suffix:
            return name
    raise UsageError(f"--output {config.output}: give --format, its ending names none")


def _open(config: RecommendConfig, progress: Progress) -> TrainedRun:
    trained = open_run(Artifacts(config.dir), config.run, _needed(config), progress.note)
    if config.spread:
        require_uncertainty(trained.model, config.run, config.spread[0])
    if config.items_new is None:
        return trained
    from mfcli.data.new_items import read_new_items
    from mfcli.models.new_items import with_new_items

    doubt = doubter(config.strict, progress)
    return with_new_items(trained, read_new_items(config.items_new, trained.prepared, doubt))


def _needed(config: RecommendConfig) -> RankBy | None:
    """What the run is opened for."""
    if config.pairs or config.list:
        return None
    return "exposure" if config.similar_to else config.rank_by


def _answer(config: RecommendConfig, trained: TrainedRun, progress: Progress, here: Place) -> Answer:
    """What is asked for, or of lists what is for this process to answer. Raises DataError."""
    doubt = doubter(config.strict, progress)
    if config.pairs:
        from mfcli.data.pairs import read_pairs
        from mfcli.serving.pairs import predict_pairs

        pairs = read_pairs(Path(config.pairs), doubt, config.columns, times=trained.model.days is not None)
        spread = Spread(trained, with_std=config.with_std, with_probabilities=config.with_probabilities)
        return predict_pairs(pairs, trained, spread)
    if config.similar_to:
        from mfcli.serving.similar import similar_items

        return similar_items(config, trained, doubt)
    if config.list:
        from mfcli.serving.listing import listing

        return listing(config, trained, doubt)
    return lists(config, trained, doubt, here)
