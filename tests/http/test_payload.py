"""What a request carries: JSON whose keys are given once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.web.http import payload
from retraind.web.http.problems import Problem

NAMES = st.sampled_from(["a", "b", ":", 'x":1,"a'])
TEXTS = st.recursive(
    st.none() | st.integers(0, 9) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=3).map(tuple),
    max_leaves=8,
)


def written(value: Any) -> str:
    """JSON text in which a tuple of pairs is an object, whose keys may be given twice."""
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(name)}:{written(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def repeats(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(dict(value)) < len(value) or any(repeats(inner) for _, inner in value)
    return isinstance(value, list) and any(map(repeats, value))


@given(TEXTS)
def test_a_value_is_refused_if_and_only_if_a_key_is_given_twice(value: Any) -> None:
    text = written(value)
    if repeats(value):
        with pytest.raises(Problem, match="twice"):
            payload.value(text.encode())
    else:
        assert payload.value(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 2], "body: must be an object with the fields 'features', 'instances'"),
        ({"feature": [1]}, "feature: unknown field; known fields: 'features', 'instances'"),
        ({}, "body: give either 'features' (one row) or 'instances' (a list of rows)"),
    ],
)
def test_a_body_of_another_form_gets_the_right_one_in_the_error(given: Any, said: str) -> None:
    """In words of JSON, not of the library that checks it."""
    with pytest.raises(Problem) as caught:
        payload.check(payload.Features, given)
    assert caught.value.detail == f"The body is not valid: {said}."


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Problem, match="target: required field is missing"):
        payload.check(payload.Labelled, {"features": [1]})
