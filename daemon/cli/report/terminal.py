"""Texts for the terminal that reports are printed on."""


def printable(value: object) -> str:
    """A name or reason from other people's files, without characters that control the terminal."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
