"""Known rows: finds the rows of a drop that the dataset already contains, by their fingerprints.

Each segment has a file next to the journal with the sorted fingerprints of its rows. A file that is missing or torn is
rebuilt from its segment; the file of a removed segment is removed. Forgotten rows leave their segment, and so the
index. The files are memory-mapped, not read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.dataset import row_hash_files, segments
from retraind.daemon.dataset.row_hash_files import HashFile, HashFileWriter, RowHashes
from retraind.daemon.schema.hash_mixing import Prints
from retraind.daemon.schema.schema import Schema

log = logs.Logger()

SUFFIX = ".rows"

SIEVE_BITS = 28
"""The filter has 2**28 bits, 32 MB; with 10 million rows, 4 % of new rows pass it and need the search."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """For each row of a table (n,): whether it is known, and whether only its features are, with another target."""

    known: Mask
    relabelled: Mask


@dataclass
class _Consumed:
    """Matched rows of the present drop, so that each row of the dataset matches once; sorted runs of doubling size."""

    runs: list[Prints] = field(default_factory=list)

    def add(self, whole: Prints) -> None:
        new = np.sort(whole)
        while self.runs and len(self.runs[-1]) <= len(new):
            new = np.sort(np.concatenate([self.runs.pop(), new]))
        self.runs.append(new)


class _BitFilter:
    """A set of bits that shows most new rows to be new, without a search."""

    def __init__(self) -> None:
        self._bits = np.zeros(2 ** (SIEVE_BITS - 3), dtype=np.uint8)

    def add(self, content: Prints) -> None:
        """Add sorted hashes."""
        if not len(content):
            return
        place = content >> np.uint64(64 - SIEVE_BITS)
        byte, bit = (place >> np.uint64(3)).astype(np.int64), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8)
        starts = np.flatnonzero(np.append(True, byte[1:] != byte[:-1]))
        self._bits[byte[starts]] |= np.bitwise_or.reduceat(bit, starts)

    def passes(self, content: Prints) -> Mask:
        """Which rows (n,) may be in the dataset."""
        place = content >> np.uint64(64 - SIEVE_BITS)
        byte, bit = self._bits[(place >> np.uint64(3)).astype(np.int64)], (place & np.uint64(7)).astype(np.uint8)
        return ((byte >> bit) & np.uint8(1)).astype(bool)


def forget(folder: Path, name: str) -> None:
    """Remove the hashes of a segment, because some of its rows will be forgotten."""
    (folder / f"{name}{SUFFIX}").unlink(missing_ok=True)


class KnownRows:
    """The rows of the dataset; used by the loop thread."""

    def __init__(self, folder: Path, dataset: Path) -> None:
        self._folder, self._dataset = folder, dataset
        self._segments: dict[str, HashFile] = {}
        self._consumed = _Consumed()
        self._sieve = _BitFilter()

    def follow(self, live: Mapping[str, str], schema: Schema) -> Iterator[None]:
        """Index the rows of exactly the `live` segments (name: sha256); yields between the pieces of a new segment.

        Rows of an unreadable segment count as new. Raises OSError if no file can be written.
        """
        self._consumed = _Consumed()
        if any(name not in live or not one.fits(schema) for name, one in self._segments.items()):
            self._segments, self._sieve = {}, _BitFilter()
        for path in self._folder.glob(f"*{SUFFIX}*"):
            if path.name.removesuffix(SUFFIX) not in live:
                path.unlink()
        for name in live.keys() - self._segments.keys():
            place = self._place(name)
            index = row_hash_files.mapped(place) if place.exists() else None
            if index is None or not index.fits(schema):
                try:
                    yield from self._make(name, live[name], schema)
                except (DatasetDamaged, FileNotFoundError) as error:
                    log.warning("rows_not_known", segment=name, reason=str(error))
                    continue
                index = row_hash_files.mapped(place)
            if index is not None:
                self._add(name, index)

    def _add(self, name: str, runs: HashFile) -> None:
        self._segments[name] = runs
        for run in runs.content:
            self._sieve.add(run)
        runs.release()

    def _make(self, name: str, sha256: str, schema: Schema) -> Iterator[None]:
        hash_writer = self.writer()
        try:
            for piece in segments.pieces(self._dataset, {name: sha256}, [*schema.features, schema.target, "_row"]):
                hash_writer.add(row_hash_files.hash_rows(piece, schema))
                yield
        except BaseException:
            hash_writer.discard()
            raise
        hash_writer.close(self._place(name), row_hash_files.kinds_of(schema))

    def _place(self, name: str) -> Path:
        return self._folder / f"{name}{SUFFIX}"

    def writer(self) -> HashFileWriter:
        """A writer for the hashes of a new segment."""
        return HashFileWriter(self._folder / f"making{SUFFIX}{durable.TMP}")

    def take(self, hash_writer: HashFileWriter, name: str, schema: Schema) -> None:
        """Add the rows of a segment that has just got its name. Raises OSError."""
        hash_writer.close(self._place(name), row_hash_files.kinds_of(schema))
        index = row_hash_files.mapped(self._place(name))
        if index is not None:
            self._add(name, index)

    def match(self, rows: RowHashes, drops: NDArray[np.int64], *, skip: bool) -> Matches:
        """Which rows of a batch (n,) the dataset has, as a multiset.

        A row stored twice makes two equal rows of a drop known. `drops` (n,): the number of each row's drop; later
        drops also match rows of earlier ones. `skip`: known rows are not stored.
        """
        there, relabelled = self._look_up(rows)
        return Matches(_occurrence(rows.whole, drops, there, skip=skip), relabelled)

    def match_next(self, rows: RowHashes) -> Matches:
        """As `match`, for the next part of one drop."""
        there, relabelled = self._look_up(rows)
        asked = np.flatnonzero(there)
        known = np.zeros(len(there), dtype=bool)
        if len(asked):
            whole = rows.whole[asked]
            left = np.maximum(there[asked] - _counts(self._consumed.runs, whole), 0)
            known[asked] = _occurrence(whole, np.zeros(len(asked), dtype=np.int64), left, skip=True)
            self._consumed.add(whole)
        return Matches(known, relabelled)

    def _look_up(self, rows: RowHashes) -> tuple[NDArray[np.int64], Mask]:
        """How often the dataset has each row (n,), and for which rows it has only the features."""
        there, relabelled = np.zeros(len(rows.whole), dtype=np.int64), np.zeros(len(rows.whole), dtype=bool)
        asked = np.flatnonzero(self._sieve.passes(rows.content))
        there[asked] = _counts([run for one in self._segments.values() for run in one.whole], rows.whole[asked])
        asked = asked[there[asked] == 0]
        every = [run for one in self._segments.values() for run in one.content]
        relabelled[asked] = _counts(every, rows.content[asked]) > 0
        return there, relabelled


def _counts(every: Sequence[Prints], asked: Prints) -> NDArray[np.int64]:
    """How often each print in `asked` (n,) is in the sorted runs."""
    counts = np.zeros(len(asked), dtype=np.int64)
    if not len(asked):
        return counts
    order = np.argsort(asked)  # in order, the search stays in the cache
    ordered = asked[order]
    for run in every:
        left = np.searchsorted(run, ordered)
        hit = np.flatnonzero(run[np.minimum(left, len(run) - 1)] == ordered) if len(run) else np.zeros(0, np.int64)
        counts[order[hit]] += np.searchsorted(run, ordered[hit], side="right") - left[hit]
    return counts


def _occurrence(whole: Prints, drops: NDArray[np.int64], there: NDArray[np.int64], *, skip: bool) -> Mask:
    """Which rows (n,) are known: within a drop, as many equal rows as the dataset and earlier drops have."""
    count = len(whole)
    if not count:
        return np.zeros(0, dtype=bool)
    order = np.lexsort((drops, whole))
    kinds, which = whole[order], drops[order]
    first_of_kind = np.append(True, kinds[1:] != kinds[:-1])
    first = first_of_kind | np.append(True, which[1:] != which[:-1])
    starts = np.flatnonzero(first)
    sizes = np.diff(np.append(starts, count))
    group = np.cumsum(first) - 1
    kind = np.cumsum(first_of_kind[starts]) - 1
    earlier = _before(sizes, kind, there[order][starts], skip=skip)
    known = np.empty(count, dtype=bool)
    known[order] = np.arange(count) - starts[group] < earlier[group]
    return known


def _before(
    sizes: NDArray[np.int64], kind: NDArray[np.int64], there: NDArray[np.int64], *, skip: bool
) -> NDArray[np.int64]:
    """For each group of equal rows in one drop (m,): how many equal rows exist before that drop."""
    if not skip:
        summed = np.cumsum(sizes) - sizes
        starts = np.flatnonzero(np.append(True, kind[1:] != kind[:-1]))
        return np.asarray(there + summed - summed[starts][kind])
    # Known rows are not stored, so the dataset has as many as the drop with the most.
    step = int(sizes.max()) + 1
    most = np.maximum.accumulate(kind * step + sizes)
    before = np.append(0, most[:-1]) - kind * step
    return np.asarray(np.maximum(there, np.maximum(before, 0)))
