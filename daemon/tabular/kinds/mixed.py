"""Mixed columns: nearly all cells are numbers or dates, but some are not, so the column is read as texts."""

from shlex import quote

from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular.csv_profile import CsvProfile
from retraind.daemon.tabular.kinds.guess import Guess

SHOWN = 3
"""Maximum number of other cells that a sentence names."""


def sentences(profile: CsvProfile, schema: Schema) -> list[str]:
    """For each mixed column of a file: what its cells are, and the command that reads it as numbers or dates."""
    guesses = {name: column.nearly(profile.decimal) for name, column in profile.columns.items()}
    kinds = {column.name: column.kind for column in schema.columns} | dict.fromkeys(schema.ignored, "ignore")
    return [_sentence(name, kinds[name], guess, profile) for name, guess in guesses.items() if guess and name in kinds]


def _sentence(name: str, kind: str, guess: Guess, profile: CsvProfile) -> str:
    others = dict(list(guess.slips.items())[:SHOWN])
    lines = profile.lines(others.values())
    texts = ", ".join(f"{text!r:.40} in line {lines[row]}" for text, row in others.items())
    missing = "".join(f" --missing {quote(text)}" for text in others)
    right_kind = guess.column.kind
    notation = f" --notation {quote(f'{name}={guess.example}')}" if guess.column.notation else ""
    place = "is left out" if kind == "ignore" else f"is read as {kind}"
    return (
        f"{name!r} {place}, although {guess.right} of {guess.cells} cells are {right_kind}s such as {guess.example!r:.40}: "
        f"{guess.wrong} are not ({texts}). If these mean a missing value: "
        f"retraind schema{missing} --kind {quote(f'{name}={right_kind}')}{notation}"
    )
