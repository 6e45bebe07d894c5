"""retraind.web.protocols.tensors: missing values, binary tensors, random tensors."""

from typing import Any

import bundles
import numpy as np
import pytest
from example_counts import some
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from numpy.typing import NDArray
from sites import Client
from tensor_requests import HOUSE, MATRIX, ROWS, binary, infer, outputs, packed

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.web.protocols import tensors


@pytest.mark.parametrize(
    ("datatype", "code"), [("FP64", "<f8"), ("FP32", "<f4"), ("FP16", "<f2"), ("INT64", "<i8"), ("UINT8", "u1")]
)
def test_numbers_come_in_binary(flowers: Client, datatype: str, code: str) -> None:
    tail = np.array(ROWS).astype(code).tobytes()
    status, answer, rest = infer(flowers, {"inputs": [binary("x", datatype, [2, 4], len(tail))]}, tail)
    assert (status, len(outputs(answer)["predict"]), rest) == (200, 2, b"")


def test_every_kind_comes_and_goes_in_binary(prices: Client) -> None:
    parts = [
        np.array([100.0]).tobytes(),
        np.array([4], "<i8").tobytes(),
        b"\x01",
        packed(["2026-01-31"]),
        packed(["Zürich"]),
    ]
    kinds = ["FP64", "INT64", "BOOL", "BYTES", "BYTES"]
    inputs = [
        binary(name, kind, [1], len(part))
        for name, kind, part in zip(bundles.PRICES.features, kinds, parts, strict=True)
    ]
    # One of them may be JSON nevertheless.
    inputs[1] = HOUSE[1]
    request = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    status, answer, rest = infer(prices, request, b"".join(parts[:1] + parts[2:]))
    assert status == 200
    sizes = [one["parameters"]["binary_data_size"] for one in answer["outputs"]]
    assert np.frombuffer(rest[: sizes[0]], "<f8") == pytest.approx(bundles.HOUSE_PRICE)
    assert rest[sizes[0] :] == packed([rest[sizes[0] + 4 :].decode()])


def test_one_output_may_be_binary_and_another_not(flowers: Client) -> None:
    requested = [{"name": "predict"}, {"name": "predict_proba", "parameters": {"binary_data": True}}]
    status, answer, rest = infer(flowers, {"inputs": [MATRIX], "outputs": requested})
    labels, shares = answer["outputs"]
    assert (status, labels["data"], "data" in shares, len(rest)) == (200, ["setosa", "setosa"], False, 48)
    assert np.frombuffer(rest, "<f8").reshape(2, 3).sum(axis=1) == pytest.approx([1, 1])


GAPS = Schema(
    task="regression",
    target="y",
    columns=[Column(name="x", kind="number", missing=True), Column(name="c", kind="category", missing=True)],
)


def test_null_and_nan_are_missing_values() -> None:
    declared = [
        tensors.Tensor(name="x", shape=[2], datatype="FP32", parameters={"binary_data_size": 8}),
        tensors.Tensor(name="c", shape=[2], datatype="BYTES", data=[None, "a"]),
    ]
    matrix = tensors.read(GAPS, declared, memoryview(np.array([np.nan, 1], "<f4").tobytes()))
    assert matrix.values == [[None, None], [1.0, "a"]]
    declared[0] = tensors.Tensor(name="x", shape=[2], datatype="FP64", data=[None, 1])
    assert tensors.read(GAPS, declared, memoryview(b"")).values == [[None, None], [1, "a"]]


MAYBE = Schema(
    task="regression",
    target="y",
    columns=[Column(name="b", kind="boolean", missing=True), Column(name="i", kind="integer", missing=True)],
)
"""Kinds whose data types, BOOL and INT64, have no number for a missing value."""


@pytest.mark.parametrize(
    ("datatypes", "data"),
    [
        (("BOOL", "INT64"), ([True, False, None], [4, 0, None])),
        (("UINT8", "UINT64"), ([1, 0, None], [4, 0, None])),
        (("FP64", "FP64"), ([1.0, 0.0, None], [4.0, 0.0, None])),
    ],
)
def test_booleans_and_whole_numbers_may_be_missing_in_any_data_type(
    datatypes: tuple[str, str], data: tuple[list[Any], list[Any]]
) -> None:
    """By column, as in a matrix; booleans are 0 and 1 where the data type is a number's."""
    given_ = [
        tensors.Tensor(name=name, shape=[3], datatype=datatype, data=values)
        for name, datatype, values in zip("bi", datatypes, data, strict=True)
    ]
    matrix = tensors.read(MAYBE, given_, memoryview(b""))
    assert matrix.values == [[True, 4], [False, 0], [None, None]]
    assert [type(row[0]) for row in matrix.values] == [bool, bool, type(None)], "the log keeps what /predict takes"
    assert np.array_equal(matrix.matrix, np.array([[1, 4], [0, 0], [np.nan, np.nan]]), equal_nan=True)


def test_booleans_and_whole_numbers_are_nan_where_missing_in_binary() -> None:
    given_ = [
        tensors.Tensor(name=name, shape=[3], datatype="FP64", parameters={"binary_data_size": 24}) for name in "bi"
    ]
    tail = np.array([1, 0, np.nan, 4, 0, np.nan]).tobytes()
    assert tensors.read(MAYBE, given_, memoryview(tail)).values == [[True, 4], [False, 0], [None, None]]


@pytest.mark.parametrize(("datatype", "data"), [("BOOL", [True, None]), ("INT64", [1, None]), ("UINT8", [0, None])])
def test_a_matrix_of_whole_numbers_or_booleans_has_no_missing_values(datatype: str, data: list[Any]) -> None:
    matrix = tensors.Tensor(name="x", shape=[1, 2], datatype=datatype, data=data)
    with pytest.raises(InvalidFeatures, match=f"has a null, which a matrix of {datatype} can't hold; send FP64"):
        tensors.read(MAYBE, [matrix], memoryview(b""))


NAMES = st.sampled_from([*bundles.PRICES.features, "x"])


DATATYPES = st.sampled_from([*tensors.JSON_TYPES, "FP8"])


SHAPES = st.lists(st.sampled_from([0, 1, 2, 4, 5, -1, 2**40]), max_size=3)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


TENSORS = st.fixed_dictionaries(
    {"name": NAMES, "shape": SHAPES, "datatype": DATATYPES},
    optional={
        "data": st.lists(SCALARS | st.lists(SCALARS, max_size=5), max_size=6),
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "content_type"]), st.integers(-1, 50) | SCALARS, max_size=2
        ),
    },
)


@profile(deadline=None, max_examples=some(120))
@given(inputs=st.lists(TENSORS, min_size=1, max_size=5), tail=st.binary(max_size=50))
def test_no_tensors_break_inference(inputs: list[Any], tail: bytes) -> None:
    try:
        given_ = [tensors.Tensor.model_validate(tensor) for tensor in inputs]
        matrix = tensors.read(bundles.PRICES, given_, memoryview(tail))
    except (InvalidFeatures, ValueError) as error:
        assert str(error)
    else:
        assert matrix.matrix.shape[1] == 5


@given(
    rows=st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4), min_size=1
    )
)
def test_json_and_binary_mean_the_same(rows: list[list[float]]) -> None:
    def read(**more: Any) -> NDArray[np.float64]:
        tensor = tensors.Tensor(name="x", shape=[len(rows), 4], datatype="FP32", **more)
        return tensors.read(bundles.SCHEMA, [tensor], memoryview(tail if "parameters" in more else b"")).matrix

    tail = np.array(rows, "<f4").tobytes()
    expected = np.array(rows)
    assert (read(parameters={"binary_data_size": len(tail)}) == expected).all()
    assert (read(data=rows) == expected).all()
