"""Tensors of the Open Inference Protocol V2, as JSON or in binary, as inputs of a model and as outputs.

Sources: kserve/open-inference-protocol `specification/protocol/inference_rest.md`; triton-inference-server/server
`docs/protocol/extension_binary_data.md`. A binary tensor is row-major and little-endian; an element of BYTES is its length
as uint32 and then its bytes. A missing value is `null` in JSON, whatever the data type, and NaN among binary numbers.
"""

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.schema import Schema
from retraind.web.serving import inputs
from retraind.web.serving.inputs import Inputs

DTYPES = {
    "BOOL": "?",
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
"""Data types of the protocol, except BYTES, to those of numpy."""

BYTES = "BYTES"

JSON_TYPES = {
    "BOOL": {bool, type(None)},
    BYTES: {str, type(None)},
    **{name: {int, type(None)} for name in DTYPES if "INT" in name},
    **{name: {int, float, type(None)} for name in DTYPES if name.startswith("FP")},
}
"""Data types to the Python types of their elements in JSON."""

TEXTS = (None, "np", "pd", "str", "datetime")
"""Supported content types (hints of MLServer how to read a tensor): these change nothing, others would change the meaning."""

Parameters = dict[str, object]
"""Parameters of a request, an input or an output, as a client sent them."""

Size = Annotated[int, Field(ge=0, le=2**40)]


class Tensor(BaseModel):
    """An input of a request; `data` is None if it is binary, after the JSON."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str = Field(min_length=1, max_length=200)
    shape: list[Size] = Field(min_length=1, max_length=2)
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = None


class BinaryData(TypedDict):
    """Parameters of an output whose values follow the JSON."""

    binary_data_size: int


class OutputTensor(TypedDict):
    """An output of a response: its `data`, or the number of its bytes after the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: NotRequired[Sequence[Any]]
    parameters: NotRequired[BinaryData]


Values = list[Any] | NDArray[Any]
"""Elements of a tensor, row-major: Python's from JSON and BYTES, numpy's from binary numbers."""


def read(schema: Schema, inputs: Sequence[Tensor], tail: memoryview) -> Inputs:
    """One two-dimensional tensor in the order of the columns, or a tensor for each column; raises InvalidFeatures.

    `tail` are the bytes after the JSON: the values of the tensors without `data`, in their order.
    """
    read_in: list[tuple[Tensor, Values]] = []
    for tensor in inputs:
        _check(tensor)
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            read_in.append((tensor, _from_json(tensor)))
            continue
        if type(size) is not int or not 0 <= size <= len(tail) or tensor.data is not None:
            raise _wrong(tensor, f"has a 'binary_data_size' of {size!r:.30}; {len(tail)} bytes are left for it")
        read_in.append((tensor, _from_binary(tensor, bytes(tail[:size]))))
        tail = tail[size:]
    if tail:
        raise InvalidFeatures(f"{len(tail)} bytes after the tensors belong to none of them.")
    first, values = read_in[0]
    if len(read_in) == 1 and len(first.shape) == 2 and (first.shape[1] != 1 or first.name not in schema.known):
        return _matrix(schema, first, values)
    return _columns(schema, read_in)


def write(
    name: str, datatype: str, shape: list[int], values: Sequence[Any] | NDArray[Any], *, binary: bool
) -> tuple[OutputTensor, bytes]:
    """An output of a response, and its bytes after the JSON if it is `binary`; `values` are row-major."""
    description: OutputTensor = {"name": name, "shape": shape, "datatype": datatype}
    if not binary:
        return {**description, "data": values.tolist() if isinstance(values, np.ndarray) else values}, b""
    if datatype == BYTES:
        texts = [value.encode() for value in values]
        packed = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    else:
        packed = np.asarray(values, DTYPES[datatype]).tobytes()
    return {**description, "parameters": {"binary_data_size": len(packed)}}, packed


def _check(tensor: Tensor) -> None:
    if tensor.datatype not in JSON_TYPES:
        raise _wrong(tensor, f"has the datatype {tensor.datatype!r:.30}; it can be {', '.join(JSON_TYPES)}")
    kind = (tensor.parameters or {}).get("content_type")
    if kind not in TEXTS:
        raise _wrong(tensor, f"has the content type {kind!r:.30}; it can be {', '.join(map(str, TEXTS[1:]))}")


def _from_json(tensor: Tensor) -> list[Any]:
    flat = tensor.data
    if flat is None:
        raise _wrong(tensor, "has neither 'data' nor a 'binary_data_size' in its parameters")
    if len(tensor.shape) == 2 and flat and type(flat[0]) is list:
        if any(type(row) is not list or len(row) != tensor.shape[1] for row in flat):
            raise _wrong(tensor, f"has nested data that is not of its shape {tensor.shape}")
        flat = list(chain.from_iterable(flat))
    if len(flat) != math.prod(tensor.shape):
        raise _wrong(tensor, f"has {len(flat)} values and the shape {tensor.shape}")
    if not JSON_TYPES[tensor.datatype].issuperset(map(type, flat)):
        raise _wrong(tensor, f"has values of another type than {tensor.datatype}")
    if tensor.datatype in LIMITS:
        low, high = LIMITS[tensor.datatype]
        if not all(value is None or low <= value <= high for value in flat):
            raise _wrong(tensor, f"has values outside the range of {tensor.datatype}")
    return flat


def _from_binary(tensor: Tensor, packed: bytes) -> Values:
    count = math.prod(tensor.shape)
    if tensor.datatype == BYTES:
        return _texts(tensor, packed, count)
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(packed) != count * dtype.itemsize:
        raise _wrong(
            tensor, f"has {len(packed)} bytes; {count} values of {tensor.datatype} are {count * dtype.itemsize}"
        )
    return np.frombuffer(packed, dtype)


def _texts(tensor: Tensor, packed: bytes, count: int) -> list[Any]:
    texts: list[Any] = []
    place = 0
    while place + 4 <= len(packed) and len(texts) < count:
        (length,) = struct.unpack_from("<I", packed, place)
        place += 4 + length
        if place > len(packed):
            break
        try:
            texts.append(packed[place - length : place].decode())
        except UnicodeDecodeError:
            raise _wrong(tensor, "has a text that is not UTF-8") from None
    if place != len(packed) or len(texts) != count:
        raise _wrong(tensor, f"does not consist of {count} texts, each after its length")
    return texts


def _matrix(schema: Schema, tensor: Tensor, values: Values) -> Inputs:
    rows, width = tensor.shape
    if width != len(schema.columns):
        raise _wrong(tensor, f"has the shape {tensor.shape}; the model takes [n, {len(schema.columns)}]")
    if tensor.datatype == BYTES:
        return inputs.from_rows(schema, [list(values[row * width : (row + 1) * width]) for row in range(rows)])
    if isinstance(values, list):
        real = tensor.datatype.startswith("FP")
        if not real and None in values:
            raise _wrong(tensor, f"has a null, which a matrix of {tensor.datatype} can't hold; send FP64")
        values = np.array(values, np.float64 if real else DTYPES[tensor.datatype])
    return inputs.from_matrix(schema, values.reshape(rows, width))


def _columns(schema: Schema, pairs: list[tuple[Tensor, Values]]) -> Inputs:
    columns: dict[str, Sequence[Any]] = {}
    booleans = {column.name for column in schema.columns if column.kind == "boolean"}
    for tensor, values in pairs:
        if tensor.name in columns:
            raise _wrong(tensor, "is given twice")
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise _wrong(tensor, f"has the shape {tensor.shape}; a column has [n]")
        truths = inputs.TRUTHS if tensor.name in booleans else {}
        plain: list[Any] = values if isinstance(values, list) else values.tolist()
        columns[tensor.name] = [None if value != value else truths.get(value, value) for value in plain]  # noqa: PLR0124 - NaN
    return inputs.from_columns(schema, columns)


def _limits(code: str) -> tuple[float, float]:
    if code[1] == "f":
        return float(np.finfo(code).min), float(np.finfo(code).max)
    return int(np.iinfo(code).min), int(np.iinfo(code).max)


LIMITS = {name: _limits(code) for name, code in DTYPES.items() if name not in ("BOOL", "FP64")}
"""Smallest and largest value of a data type."""


def _wrong(tensor: Tensor, complaint: str) -> InvalidFeatures:
    return InvalidFeatures(f"The input {tensor.name!r:.100} {complaint}.", field=tensor.name)
