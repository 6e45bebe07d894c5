"""Bodies that no client should send: each gets a reason, and none breaks a route."""

import json

import pytest
from example_counts import some
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sites import Client, Site


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"[" * 1000 + b"]" * 1000, 400),
        (b'{"features":[NaN,1,1,1]}', 400),
        (b'{"features":[Infinity,1,1,1]}', 400),
        (b'{"features":[1e999,1,1,1]}', 400),
        (b'{"features":["\\ud800",1,1,1]}', 400),
        (b'{"features":[1,2,3,4],"features":[1,2,3,4]}', 400),
        (b'{"features":{"sepal_length":1,"sepal_length":2}}', 400),
        (b"[]", 422),
        (b"null", 422),
        (b"{}", 422),
        (b'{"feature":[1,2,3,4]}', 422),
        (b'{"features":"1234"}', 422),
        (b'{"features":[1,2,3]}', 422),
        (b'{"features":[1,2,3,4,5]}', 422),
        (b'{"features":[1,2,3,"4"]}', 422),
        (b'{"features":[1,2,3,true]}', 422),
        (b'{"features":[1,2,3,null]}', 422),
        (b'{"features":[1,2,3,[4]]}', 422),
        (b'{"features":{"sepal_length":1}}', 422),
        (b'{"instances":[]}', 422),
        (b'{"instances":[[1,2,3,4],[1,2,3]]}', 422),
        (b'{"instances":[[1,2,3,4]],"features":[1,2,3,4]}', 422),
        (b'{"instances":[1,2,3,4]}', 422),
        (b'{"features":{"sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":1,"x":1}}', 422),
        (b'{"features":[1' + b"0" * 400 + b",1,1,1]}", 400),
        (b'{"features":[1e308,1e308,-1e308,1e308]}', 422),
    ],
)
def test_bad_bodies_are_the_clients_fault(site: Site, body: bytes, status: int) -> None:
    answered, headers, text = site.ask("POST", "/predict", body)
    problem = json.loads(text)
    assert answered == problem["status"] == status
    assert headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail"} <= set(problem)
    assert "Traceback" not in text.decode()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)


BODIES = st.one_of(
    st.binary(max_size=200),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    JSON_VALUES.map(lambda value: json.dumps({"features": value}).encode()),
    st.lists(JSON_VALUES, min_size=4, max_size=4).map(lambda value: json.dumps({"features": value}).encode()),
    st.lists(st.floats(), min_size=4, max_size=4).map(lambda value: json.dumps({"features": value}).encode()),
)


@profile(deadline=None, max_examples=some(100))
@given(body=BODIES)
def test_no_body_breaks_predict(flowers: Client, body: bytes) -> None:
    status, _, text = flowers.ask("POST", "/predict", body)
    assert status == 200 or 400 <= status < 500
    json.loads(text)


@profile(deadline=None, max_examples=some(50))
@given(
    body=BODIES,
    path=st.sampled_from(
        ["/add_training_data", "/trigger_retrain", "/promote", "/refuse", "/rollback", "/accept", "/reject"]
    ),
)
def test_no_body_breaks_a_writing_route(flowers: Client, body: bytes, path: str) -> None:
    status, _, text = flowers.ask("POST", path, body)
    assert status in (200, 202) or 400 <= status < 500
    json.loads(text)
