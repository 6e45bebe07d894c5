"""The way of a training: all rows in memory, pieces of them, or only the newest rows, whichever the memory allows.

It is decided by an estimate before anything is read, so no training starts that must fail for lack of memory. Pure,
except for the look whether a package is installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import Train
from retraind.daemon.schema.schema import Schema

FRAMES, FACTS = 2.5, 100
"""Memory of a training: so many times the rows as float64, and so many bytes of facts for each row (its unit, source and time).
"""

BINS, OF_CLASS, FIXED, COLUMN = 36, 18, 100_000_000, 7_000_000
"""Memory of a training from pieces: for each row a byte for each cell, so many for its places, its labels and its
gradients in a split, and so many for its answers and gradients of each class; bytes for all else, and for each column
of the pieces that are read ahead and of the sample."""

ASSIGNED, LABEL = 100, 6
"""Bytes for each row of the revision while it is decided which rows judge, and afterwards for what it is about them."""

WORTH_SAYING = 1_000_000
"""Minimum rows whose memory is reported although they fit."""

LEAST_ROWS = 10_000
"""With room for fewer rows than this, a training fails instead of using the newest ones."""

FROM_PIECES = frozenset({"lightgbm"})
"""The candidates that can be fitted piece by piece."""


@dataclass(frozen=True)
class Way:
    """The decision: whether the rows stay in their segments, the number of newest rows if not all train, and both in words."""

    pieces: bool = False
    newest: int | None = None
    figures: str = ""
    """The estimate in words, if the rows are many."""
    does: str = ""
    """The consequences in words, if not all rows come into memory."""
    unable: dict[str, str] = field(default_factory=dict)
    """Candidates that can't be fitted in this way, and why."""

    @property
    def sentence(self) -> str:
        """The decision for the journal; empty if the rows are few."""
        return f"{self.figures}{': ' if self.does else ''}{self.does}." if self.figures else ""

    @property
    def stage(self) -> str:
        """The first stage of the training, for the status and the page."""
        pieces = " piece by piece" if self.pieces else ""
        return f"reading the data{pieces}{f' ({self.figures})' if self.figures else ''}"


def in_memory(rows: int, every: int, schema: Schema) -> int:
    """Estimated bytes of a training of so many of `every` row of the revision, with all of them in memory."""
    return int(rows * FRAMES * 8 * schema.width + every * FACTS)


def from_pieces(rows: int, every: int, schema: Schema) -> int:
    """As `in_memory`, from pieces."""
    return _fixed(schema) + max(every * ASSIGNED, rows * _binned(schema) + every * LABEL)


def _fixed(schema: Schema) -> int:
    """Bytes that do not depend on the number of rows."""
    return FIXED + schema.width * COLUMN


def _binned(schema: Schema) -> int:
    """Bytes of a row in LightGBM."""
    return schema.width + BINS + OF_CLASS * (len(schema.classes) if len(schema.classes) > 2 else 1)


def choose(every: int, schema: Schema, settings: Train, names: Sequence[str], allowed: int) -> Way:
    """The way of a training of `every` row of the revision with candidates of these names in `allowed` bytes.

    Raises TrainingFailed if there is room for fewer than LEAST_ROWS of the newest rows.
    """
    rows = min(every, settings.window_rows or every)
    need, part = in_memory(rows, every, schema), from_pieces(rows, every, schema)
    figures = f"{_count(rows)} rows need {_gb(need)} in memory, {_gb(allowed)} are allowed"
    if need <= allowed:
        return Way(figures=figures if rows >= WORTH_SAYING else "")
    unable = {name: "It needs all rows in memory." for name in names if not _reads_pieces(name)}
    able = len(unable) < len(names)
    does = f"lightgbm reads them piece by piece, which needs {_gb(part)}; other candidates are left out"
    if able and part <= allowed:
        return Way(pieces=True, figures=figures, does=does, unable=unable)
    newest, hint = _newest(every, schema, allowed, pieces=able), _hint(part, able=able)
    if newest < LEAST_ROWS:
        raise TrainingFailed(f"{figures}, which is not enough for {LEAST_ROWS:,} of them.", hint=f"{hint}.")
    does = f"only the newest {_count(newest)} rows train and judge{', read piece by piece by lightgbm' if able else ''}. {hint}"
    return Way(able, newest, figures, does, unable if able else {})


def _reads_pieces(name: str) -> bool:
    return name.partition("(")[0] in FROM_PIECES


def _newest(every: int, schema: Schema, allowed: int, *, pieces: bool) -> int:
    """The number of newest rows that fit."""
    if pieces:
        left = allowed - _fixed(schema)
        return 0 if every * ASSIGNED > left else int((left - every * LABEL) / _binned(schema))
    return int((allowed - every * FACTS) / (FRAMES * 8 * schema.width))


def _hint(part: int, *, able: bool) -> str:
    """The ways to train on all rows."""
    more = "allow more memory (train.memory_bytes, or a larger machine or container)"
    if able:
        return f"To train on all, {more}"
    if find_spec("lightgbm") is None:
        other = f"install the extra retraind[boost], whose LightGBM reads rows piece by piece in {_gb(part)}"
    else:
        other = f"add lightgbm to train.candidates, which reads rows piece by piece in {_gb(part)}"
    return f"To train on all, {other}, or {more}"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _count(rows: int) -> str:
    return f"{rows / 1e6:.1f}M" if rows >= 1e6 else f"{rows:,}"
