"""Sentences on a header that does not fit the schema: all its faults at once, and what may be meant."""

from collections.abc import Collection, Sequence

from retraind.daemon.core.validation import near_names

MOST_NAMED = 10
"""Maximum number of columns that a sentence names."""

LONGEST = 200
"""Maximum length of the list of a header's columns."""


def missing(absent: Sequence[str], header: Sequence[str], known: Collection[str]) -> str:
    """The reason for a header that lacks the columns `absent` (at least one); `known` are those that may be there."""
    others = [name for name in header if name not in known]
    pairs = near_names.pairs(absent, others)
    meant = [f"Is {other!r} {name!r}?" for name, other in pairs.items()]
    verb = "is" if len(absent) == 1 else "are"
    sentence = f"The {_columns(absent)} {verb} missing; the header has: {', '.join(header)[:LONGEST]}."
    return " ".join(
        [sentence, *meant, f"{'Rename' if meant else 'Add'} {'it' if len(absent) == 1 else 'them'} in the file."]
    )


def unexpected(extra: Sequence[str]) -> str:
    """The reason for a header with the columns `extra` (at least one) that the schema does not list."""
    verb = "is" if len(extra) == 1 else "are"
    return f"The {_columns(extra)} {verb} not in the schema; see inbox.extra_columns, or `retraind schema --ignore`."


def _columns(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names[:MOST_NAMED]))}{more}"
