"""A row of a person, in a drop and wherever traces of it may be."""

from ingesting import HEADER, Parts

from retraind.daemon.ingest.erasure import traces

SECRET = 4.987654
"""A cell that no other row of the tests has; its bytes as a double and as text are looked for everywhere."""


PERSON = HEADER + f"{SECRET},3.25,1.5,0.25,setosa\n" + "5.5,3.5,1.25,0.2,setosa\n"


ROW = {"sepal_length": SECRET, "sepal_width": 3.25, "petal_length": 1.5, "petal_width": 0.25, "species": "setosa"}


def listed(parts: Parts, sha256: str) -> set[str]:
    """Where `--find` says that bytes of a drop are."""
    drop = parts.journal.drops.taken(sha256)
    assert drop is not None
    return {one.where for one in traces.find(parts.home, parts.journal, drop)}
