"""The data sets we know: where they are published, how to check them, what is in them."""

from dataclasses import dataclass

from mfcli.errors import UsageError

GROUPLENS = "https://files.grouplens.org/datasets/movielens/"

RESEARCH = "GroupLens: research use with citation; not to be passed on without permission, nor used commercially"
LATEST = "GroupLens: research use with citation; may be passed on under the same terms; not for commercial use"


@dataclass(frozen=True)
class Layout:
    """How a data set's files are written.

    Attributes:
        ratings: file of ratings, columns user, item, rating, timestamp.
        items: file of items.
        separator: between the columns of the ratings.
        header: whether the ratings' first line names the columns.
        items_style: ``csv`` (movieId,title,genres), ``dat`` (id::title::genres) or ``u.item`` (ml-100k).
        items_encoding: character encoding of the items file.
        users: file of users, where there is one.
    """

    ratings: str
    items: str
    separator: str
    header: bool
    items_style: str
    items_encoding: str = "utf-8"
    users: str | None = None


CSV = Layout("ratings.csv", "movies.csv", ",", True, "csv")
DAT = Layout("ratings.dat", "movies.dat", "::", False, "dat")
DAT_LATIN = Layout("ratings.dat", "movies.dat", "::", False, "dat", "latin-1", "users.dat")
PLANTED = Layout("ratings.csv", "movies.csv", ",", True, "csv", users="users.csv")
ML100K = Layout("u.data", "u.item", "\t", False, "u.item", "latin-1", "u.user")


@dataclass(frozen=True)
class DataSet:
    """One entry of the catalogue.

    Attributes:
        name: of the data set, and of its archive without the ending.
        ratings: how many there are.
        megabytes: of the archive, 10^6 bytes each, rounded.
        md5: of the archive; None where the set changes and its .md5 file is asked for.
        licence: what may be done with it, in short.
        layout: how its files are written.
    """

    name: str
    ratings: int
    megabytes: float
    md5: str | None
    licence: str
    layout: Layout

    @property
    def archive(self) -> str:
        """The archive's name."""
        return f"{self.name}.zip"

    def address(self, mirror: str | None = None) -> str:
        """Where the archive is: at the publisher's, or below a mirror's base address."""
        return f"{(mirror or GROUPLENS).rstrip('/')}/{self.archive}"


_ALL = (
    DataSet("ml-latest-small", 100_836, 1, None, LATEST, CSV),
    DataSet("ml-latest", 33_832_162, 335, None, LATEST, CSV),
    DataSet("ml-100k", 100_000, 5, "0e33842e24a9c977be4e0107933c0723", RESEARCH, ML100K),
    DataSet("ml-1m", 1_000_209, 6, "c4d9eecfca2ab87c1945afe126590906", RESEARCH, DAT_LATIN),
    DataSet("ml-10m", 10_000_054, 63, "ce571fd55effeba0271552578f2648bd", RESEARCH, DAT),
    DataSet("ml-20m", 20_000_263, 190, "cd245b17a1ae2cc31bb14903e1204af3", RESEARCH, CSV),
    DataSet("ml-25m", 25_000_095, 250, "6b51fb2759a8657d3bfcbfc42b592ada", RESEARCH, CSV),
    DataSet("ml-32m", 32_000_204, 239, "d472be332d4daa821edc399621853b57", RESEARCH, CSV),
)
CATALOGUE: dict[str, DataSet] = {d.name: d for d in _ALL}

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Planted:
    """What ``download`` records of synthetic data.

    Attributes:
        oracle_rmse: of the true model; None of published data.
    """

    oracle_rmse: float | None = None


def find(name: str) -> DataSet:
    """The entry of that name. Raises UsageError with the known names."""
    if name not in CATALOGUE:
        raise UsageError(f"no data set is called '{name}': there are {', '.join([*CATALOGUE, SYNTHETIC])}")
    return CATALOGUE[name]
