"""retraind.daemon.schema.text_words and the kind `text`: the same numbers for a cell, a value of JSON and a late label; what is refused."""

import numpy as np
import pyarrow as pa
import pytest
from example_counts import some
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.core.settings import Inbox
from retraind.daemon.ingest.reading import late_labels
from retraind.daemon.records.predictions import Cell
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.text_words import BITS, MASK, MOST_TEXT, MOST_WORDS, SLOTS, encoded
from retraind.daemon.tabular import rows

NOTES = Schema(
    target="y",
    classes=["no", "yes"],
    missing_values=["NA"],
    columns=[
        Column(name="note", kind="text", missing=True),
        Column(name="n", kind="number"),
        Column(name="title", kind="text"),
    ],
)


def codes(text: str) -> list[int]:
    packed = np.array(encoded(text)[1:]).astype(np.int64)
    return [
        int(code) for number in packed for code in (number >> 2 * BITS, number >> BITS & MASK, number & MASK) if code
    ]


@settings(max_examples=some(50), deadline=None)
@given(st.text())
@example("Grüße, Grüsse! ﬁn 3.5")
@example("东京都 is Tokyo")
@example("\ud800")
def test_a_text_is_a_bounded_list_of_words(text: str) -> None:
    """Whatever it says: always as many numbers, whole ones that a double holds, no word twice."""
    count, *words = encoded(text)
    assert len(words) == SLOTS
    assert all(word.is_integer() and 0 <= word < 2 ** (3 * BITS) for word in words)
    text_codes = codes(text)
    assert len(text_codes) == len(set(text_codes)) <= MOST_WORDS
    assert (count > 0) == bool(text_codes)


def test_words_count_and_not_how_they_are_written() -> None:
    """Case, punctuation and forms of letters say nothing; the order of neighbours does; scripts without blanks have pairs."""
    assert encoded("Very GOOD, very good!") == encoded("very good very good")
    assert codes("ﬁne Straße") == codes("FINE strasse")
    assert set(codes("not good")) != set(codes("good not"))
    assert set(codes("东京")) & set(codes("在东京都"))
    assert encoded("word " * 5_000)[0] == 2 * MOST_WORDS


@pytest.mark.parametrize(
    "note", ["a b c", "", "  ", "NA", "Ünïcode 東京 🎉", "x" * MOST_TEXT, 'quoted "text",\nin two lines']
)
def test_cell_json_and_late_label_are_one_row(note: str) -> None:
    """The three ways in give the model the same numbers; blanks and markers are a missing text."""
    schema = NOTES
    cells = {"note": [note], "n": ["1.5"], "title": ["t"], "y": ["yes"]}
    checked = rows.check(pa.table(cells), schema, Inbox())
    assert not checked.bad
    matrix = rows.matrix(checked.table, schema)
    assert matrix.shape == (1, schema.width) == (1, 3 + 2 * SLOTS)
    features: list[Cell] = [note, 1.5, "t"]
    json = np.array([encode(schema, features)])
    if not note.strip() or note == "NA":  # as numbers that are missing
        json[0, 0] = encode(schema, {"n": 1.5, "title": "t"})[0]
        assert np.isnan(matrix[0, 0])
    assert_array_equal(matrix, json)
    late = dict(zip(schema.features, late_labels.cells(features, schema, schema), strict=True)) | {"y": "yes"}
    again = rows.check(pa.table({name: [cell] for name, cell in late.items()}), schema, Inbox())
    assert_array_equal(rows.matrix(again.table, schema), matrix)


@pytest.mark.parametrize(
    ("value", "part"),
    [(3, "give a string"), (None, "must not be null"), (" ", "must not be null"), ("x" * (MOST_TEXT + 1), "at most")],
)
def test_text_of_json_that_is_none_is_refused(value: object, part: str) -> None:
    with pytest.raises(InvalidFeatures, match=part):
        encode(NOTES, {"n": 1, "title": value})


def test_cell_that_is_no_text_makes_a_bad_row() -> None:
    """Too long, or missing where nothing may be; the others are taken."""
    cells = {"note": ["a", "b" * (MOST_TEXT + 1), "c"], "n": ["1", "2", "3"], "title": ["x", "y", ""], "y": ["no"] * 3}
    checked = rows.check(pa.table(cells), NOTES, Inbox())
    assert [(one.row, one.column) for one in checked.bad] == [(1, "note"), (2, "title")]
    assert "10001 characters" in checked.bad[0].reason


def test_names_and_numbers_of_before_are_read_as_texts() -> None:
    """A column whose kind becomes text: rows that the data has already are texts, too."""
    column = Column(name="note", kind="text", missing=True)
    for stored in (pa.array(["a", None]), pa.array([1.5, None]), pa.array(["a", None]).dictionary_encode()):
        matrix = rows.matrix(pa.table({"note": stored}), Schema(target="y", classes=["a", "b"], columns=[column]))
        assert matrix[0, 0] > 0
        assert np.isnan(matrix[1, 0])
