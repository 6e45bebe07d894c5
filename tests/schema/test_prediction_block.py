"""retraind.daemon.schema.prediction_block: rows are erased in their place, and what is no block is told from one."""

import logged
import orjson
import pytest

from retraind.daemon.schema import prediction_block
from retraind.daemon.schema.prediction_block import Block


def block(text: bytes) -> Block:
    read = prediction_block.of(orjson.loads(text))
    assert read is not None
    return read


@pytest.mark.parametrize("packed", [True, False], ids=["doubles", "JSON"])
def test_erased_rows_leave_the_others_where_they_are(packed: bool) -> None:
    text = logged.block(7, 3)
    if not packed:
        text = orjson.dumps({**orjson.loads(text), "features": [[1], [0], [3]]})
    before = list(prediction_block.expand(block(text)))
    ids = {"many.8", "many.6", "many.10", "b.7", "many.07", "many"}
    erased = prediction_block.places(block(text), ids, prediction_block.requests(ids))
    assert erased == {1}
    rest = orjson.dumps(prediction_block.without(block(text), erased))
    assert len(rest) <= len(text.rstrip())
    assert list(prediction_block.expand(block(rest))) == [before[0], before[2]]
    assert list(prediction_block.expand(prediction_block.without(block(rest), {0, 2}))) == []


def test_a_line_of_one_prediction_is_no_block() -> None:
    assert prediction_block.of({"prediction_id": "a.1", "features": [1.0]}) is None
    assert prediction_block.rows_of(b'{"prediction_id":"a.1"}') == 1


@pytest.mark.parametrize(
    "change", [{"answers": "?"}, {"answers": ""}, {"rows": 0}, {"rows": 2}, {"predictions": [0, 1, 9]}, {"rows": "3"}, {"features": [[1]]}]
)  # fmt: skip
def test_a_damaged_block_raises_what_readers_expect(change: dict[str, object]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        list(prediction_block.expand(block(orjson.dumps({**orjson.loads(logged.block(0, 3)), **change}))))
