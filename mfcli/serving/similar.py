"""The items most like others: those that a rating speaks for in the same way.

The vectors compared are those of exposure, not the factors of ratings: of the films of ml-latest-small that belong to a
series, half have another of it among their ten nearest by exposure, and a third or a quarter by factors.
"""

from collections.abc import Iterator

from mfcli.config.recommend import RecommendConfig
from mfcli.data.by_title import Titles
from mfcli.data.candidates import find_candidates
from mfcli.data.formats import Block, Column
from mfcli.data.ids import find_ids
from mfcli.data.lookup import Doubt
from mfcli.data.prepared import Prepared
from mfcli.errors import DataError
from mfcli.models.run import TrainedRun
from mfcli.models.similar import nearest
from mfcli.serving.answer import Answer, Items


def similar_items(config: RecommendConfig, trained: TrainedRun, doubt: Doubt) -> Answer:
    """For each of the items asked for, those most like it. Raises DataError if one is unknown or not clear."""
    prepared = trained.prepared
    wanted = [find_item(prepared, text) for text in config.similar_to]
    candidates = find_candidates(config, prepared, doubt)
    items, counts = Items(prepared), prepared.items["train_ratings"].to_pylist()
    assert trained.exposure is not None, "open_run has read it"
    vectors = trained.exposure.profiles
    for item in wanted:
        if not counts[item]:
            raise DataError(
                f"nobody rated {items.titles[item] or items.ids[item]}, and items are alike by who rated both"
            )

    def blocks() -> Iterator[Block]:
        for item in wanted:
            rows, cosines = nearest(vectors, item, config.n, candidates)
            yield {
                "similar_to": [items.ids[item]] * len(rows),
                "rank": list(range(1, len(rows) + 1)),
                **items.block(rows.tolist()),
                "ratings": [counts[row] for row in rows.tolist()],
                "similarity": cosines.tolist(),
            }

    names = {items.ids[item]: items.titles[item] for item in wanted}
    columns = [
        Column("similar_to", items.columns[0].kind, "similar to", in_title=True, names=names),
        Column("rank", "int32", ""),
        *items.columns,
        Column("ratings", "int32", "ratings"),
        Column("similarity", "float32", "similarity"),
    ]
    return Answer(columns, blocks(), len(wanted))


def find_item(prepared: Prepared, text: str) -> int:
    """The row of the item with this id or title. Raises DataError if there is none, or it is not clear."""
    (row,) = find_ids(prepared.items["id"], [text])
    if row >= 0:
        return int(row)
    titles = Titles(prepared.items)
    found = titles.find(text)
    if not found:
        raise DataError(f"no item has the id or the title '{text}': {prepared.hint('items')}")
    if len(found) > 1:
        raise DataError(f"'{text}' may be {titles.named(found)}: give the id")
    return found[0]
