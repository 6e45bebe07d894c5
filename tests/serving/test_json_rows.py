"""retraind.web.serving.json_rows: what is read in pieces is what would be read as a whole, and the rest is left to that."""

import json
import random
from typing import Any

import bundles
import pytest

from retraind.web.http import payload
from retraind.web.serving import inputs, json_rows
from retraind.web.serving.json_rows import NotPlain

ROWS: list[list[float]] = [[number / 7, number, -number / 3, 1e-9 * number] for number in range(3000)]
TEXT = json.dumps({"instances": ROWS}).encode()
SPACED = json.dumps({"instances": ROWS}, indent=1).encode() + b"\n"


def whole(text: bytes) -> list[Any]:
    """The rows of a body that is read as a whole."""
    return list(inputs.from_rows(bundles.SCHEMA, payload.value(text)["instances"]).values)


def in_pieces(text: bytes) -> list[Any] | None:
    """The rows of a body that is read in pieces; None if it is left."""
    rows = json_rows.of(text)
    try:
        return None if rows is None else list(inputs.joined(list(rows.pieces(bundles.SCHEMA))).values)
    except NotPlain:
        return None


@pytest.mark.parametrize("text", [TEXT, SPACED, TEXT.replace(b" ", b"")], ids=["usual", "indented", "dense"])
def test_rows_in_pieces_are_the_rows(text: bytes) -> None:
    assert in_pieces(text) == ROWS == whole(text)
    rows = json_rows.of(text)
    assert rows is not None
    sizes = [len(piece) for piece in rows.pieces(bundles.SCHEMA)]
    assert len(sizes) > 5
    assert sizes[0] < 2 * json_rows.FIRST_ROWS


def test_rows_that_grow_are_all_read() -> None:
    """The size of the first rows says little about the others."""
    for sign in (1, -1):
        rows = [[0.1] * 4 if number < 2000 else [1 / 3 + number] * 4 for number in range(4000)][::sign]
        assert in_pieces(json.dumps({"instances": rows}).encode()) == rows


@pytest.mark.parametrize(
    "text",
    [
        b'{"instances": [[1.0, 2.0, 3.0, 4.0]]}',
        TEXT.replace(b"428.42857142857144", b"null"),
        TEXT.replace(b"428.42857142857144", b'"]"'),
        TEXT.replace(b"428.42857142857144", b"[1]"),
        TEXT.replace(b"428.42857142857144", b"1e200"),
        TEXT.replace(b"428.42857142857144", b"NaN"),
        TEXT.replace(b"428.42857142857144, ", b""),
        TEXT[:-1] + b', "instances": []}',
        TEXT[:-1] + b', "features": [1]}',
        TEXT[:-2] + b",]}",
        TEXT[:-2] + b"],[]]}",
        TEXT[:-1],
        TEXT + b"}",
        TEXT[:-2],
        TEXT.replace(b"], [2.0", b"] [2.0"),
        TEXT.replace(b"], [2.0", b"],, [2.0"),
        b'{"instances": [' + b" " * 40_000 + b"]}",
        b'{"instances": [' + b"[1, 2, 3, 4], " * 4000 + b" ]}",
        b"\x0c" + TEXT,
        b"\xef\xbb\xbf" + TEXT,
        b'{"instances": ' + json.dumps([dict(zip(bundles.NAMES, row, strict=True)) for row in ROWS]).encode() + b"}",
        json.dumps({"instances": [ROWS]}).encode(),
        json.dumps({"instances": [[0, 0, 0, 0]] * 100_001}).encode(),
    ],
)
def test_other_bodies_are_left_to_be_read_as_a_whole(text: bytes) -> None:
    assert in_pieces(text) is None


def test_comma_behind_the_last_row_is_left_wherever_the_cuts_are() -> None:
    """Where a cut falls on it, each piece by itself is a list."""
    for count in (1613, 2159, 2992):
        assert in_pieces(json.dumps({"instances": ROWS[:count]}).encode()[:-2] + b",]}") is None


def test_bodies_with_any_fault_are_read_alike_in_pieces_and_as_a_whole() -> None:
    chance, read = random.Random(5), 0
    for _ in range(400):
        text = bytearray(chance.choice([TEXT, SPACED]))
        for _ in range(chance.choice([1, 1, 2, 5])):
            at = chance.randrange(len(text))
            text[at : at + chance.randrange(3)] = chance.choice([b"", b"[", b"]", b",", b"],", b"1", b'"', b"{", b" "])
        rows = in_pieces(bytes(text))
        if rows is not None:
            read += 1
            assert rows == whole(bytes(text))
    assert read > 20
