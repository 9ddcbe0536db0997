"""A run beside another: are they different beyond luck?"""

from pathlib import Path

from mfcli.artifacts import Artifacts
from mfcli.config.common import RankBy
from mfcli.errors import ArtifactError, UsageError
from mfcli.judging.evaluation_file import read_evaluation
from mfcli.judging.exam import Exam
from mfcli.judging.moved import learnt, moved
from mfcli.judging.results import Comparison, Difference
from mfcli.judging.sums import Sums
from mfcli.models.run import TrainedRun, open_run
from mfcli.option import NAME


def compare(
    against: str, artifacts: Artifacts, trained: TrainedRun, exam: Exam, sums: Sums, rank_by: RankBy
) -> Comparison:
    """The run's measures less those of another, by user.

    Args:
        against: a run of the directory, or the file of an evaluation on the same part.
        artifacts: the directory.
        trained: the run.
        exam: the part on which both are judged.
        sums: of the run on that part.
        rank_by: what ranks the lists of both.

    Raises:
        ArtifactError: the other cannot be read, or the part is not one that it can be judged by.
        UsageError: there is no measure that both have.
    """
    is_name = NAME.fullmatch(against) is not None
    if not is_name or (Path(against).is_file() and not artifacts.run(against).exists()):
        name, other = against, _of_file(Path(against), exam)
    else:
        name, other = f"run '{against}'", _of_run(against, artifacts, trained, exam, rank_by)
    measures = sums.in_common(other)
    if not measures:
        run = trained.record.name
        raise UsageError(f"{name} and run '{run}' have no measure in common: evaluate both with the same --top")
    differences = []
    for measure in measures:
        found = sums.less(other, measure)
        differences.append(
            Difference(measure, sums.value(measure), other.value(measure), found.value, found.interval, found.p)
        )
    return Comparison(name, differences)


def _of_file(path: Path, exam: Exam) -> Sums:
    """The sums in an evaluation.json. Raises ArtifactError if they are of another part."""
    evaluated = read_evaluation(path)
    if evaluated.inputs["part"] != exam.part.digest():
        raise ArtifactError(
            f"the test parts differ: {path} is of other ratings; name the run itself, which can be tried on these"
        )
    return evaluated.sums


def _of_run(name: str, artifacts: Artifacts, trained: TrainedRun, exam: Exam, rank_by: RankBy) -> Sums:
    """The sums of another run on the part. Raises ArtifactError if it has learnt from ratings of the part."""
    other = open_run(artifacts, name, rank_by if exam.sizes else None)
    if other.model.of_clicks != trained.model.of_clicks:
        raise UsageError(
            f"run '{name}' learnt from {'clicks' if other.model.of_clicks else 'ratings'}, the other did not: "
            "compare runs of one kind"
        )
    if other.prepared.fingerprint != trained.prepared.fingerprint or other.prepared.whole:
        known = learnt(exam.part, trained.prepared, other)
        if known:
            raise ArtifactError(
                f"the test parts differ: run '{name}' has learnt from {known:,} of the {len(exam.part):,} ratings; "
                "`mfcli prepare` with --split latest or --test-users-share keeps them apart as data grow"
            )
        other = moved(other, trained.prepared)
    errors = None if other.model.of_clicks else exam.errors(other.model)
    return exam.sums(errors, exam.judged(other.scorer(rank_by)) if exam.sizes else {})
