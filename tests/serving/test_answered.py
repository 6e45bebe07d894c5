"""retraind.web.serving.answered and retraind.web.serving.answered_rows: a row is answered and logged alike, alone and among others."""

from typing import Any

import bundles
import numpy as np
import orjson
import pytest
from logged import Named

from retraind.daemon.schema import prediction_block
from retraind.web.serving import inputs
from retraind.web.serving.answered import AnsweredRow
from retraind.web.serving.answered_rows import AnsweredRows, joined
from retraind.web.serving.inputs import Inputs

CLASS, VALUE = (['"se"tosa', "ö", "c"], [0.25, 0.5, 0.25]), (list[str](), [12.5])


def rows_of(lines: list[bytes]) -> list[dict[str, Any]]:
    """Every row of some blocks, as the daemon expands them."""
    blocks = [prediction_block.of(orjson.loads(line)) for line in lines]
    return [row for block in blocks if block is not None for row in prediction_block.expand(block)]


@pytest.mark.parametrize("caller", ["", "shop"])
@pytest.mark.parametrize(("classes", "shares"), [CLASS, VALUE], ids=["class", "value"])
def test_one_row_is_logged_and_answered_as_among_others(classes: list[str], shares: list[float], caller: str) -> None:
    version, values = Named(classes), [5.1, None, "Aachen"]
    alone = AnsweredRow(version, shares, 1 if classes else 12.5, "a.1", 0.5)
    among = AnsweredRows(version, np.array([shares] * 2), "a", 0, 0.5)
    assert f"[{among.json().decode()}]".encode() == orjson.dumps(
        [{**alone.first(), "prediction_id": key} for key in among.ids]
    )
    assert (among.ids[1:], among.names[1:]) == (alone.ids, alone.names)
    assert among.probabilities == (None if alone.probabilities is None else alone.probabilities * 2)
    line = orjson.loads(alone.line(values, caller))
    block = list(among.lines(Inputs([[6.0, 1, "Bonn"], values], None, np.zeros((2, 3))), caller))
    expected = {**line, "timestamp": "", "caller": caller}
    expected["probabilities"] = tuple(shares) if classes else None
    assert {**rows_of(block)[1], "timestamp": ""} == expected
    assert block[0].endswith(b"}\n")


@pytest.mark.parametrize("whole", [True, False], ids=["doubles", "JSON"])
def test_many_rows_are_lines_of_bounded_size_that_hold_what_was_sent(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_block, "CELLS", 70)
    sent: list[list[Any]] = [[number / 7, 1e-300 * number, -number / 3, 0.1] for number in range(35)]
    if not whole:
        sent[20][1] = 5
    taken = inputs.from_rows(bundles.SCHEMA, sent)
    assert taken.exact == whole
    shares = np.random.default_rng(0).random((35, 3))
    parts = [AnsweredRows(Named(bundles.CLASSES), shares[at : at + 20], "r", at, 0.5) for at in (0, 20)]
    pieces = [taken.part(slice(0, 20)), taken.part(slice(20, 35))]
    lines = [line for part, piece in zip(parts, pieces, strict=True) for line in part.lines(piece, "")]
    assert inputs.joined(pieces).values == sent
    assert [orjson.loads(line)["rows"] for line in lines] == [10, 10, 10, 5]
    rows = rows_of(lines)
    assert [list(row["features"]) for row in rows] == sent
    assert type(rows[20]["features"][1]) is (float if whole else int)
    assert [row["prediction_id"] for row in rows] == joined(parts).ids == [f"r.{number}" for number in range(35)]
    assert [row["prediction_name"] for row in rows] == joined(parts).names
    assert [row["confidence"] for row in rows] == shares.max(axis=1).tolist()
    assert sum(map(prediction_block.rows_of, lines)) == 35
