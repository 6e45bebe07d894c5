"""retraind.daemon.service.checks: what the health says of a trainer that says nothing itself."""

from contextlib import closing

import pytest

from retraind.daemon.core.home import Home
from retraind.daemon.processes.child import Trainer
from retraind.daemon.service.checks import silence
from retraind.daemon.service.heartbeat import START_SECONDS


@pytest.mark.parametrize(
    ("state", "training", "silent", "objects"),
    [
        ({}, False, START_SECONDS - 1, False),
        ({}, False, START_SECONDS + 1, True),
        ({}, True, START_SECONDS + 1, False),
        ({"ready": True}, False, START_SECONDS + 1, False),
        ({"asleep": True}, False, START_SECONDS + 1, False),
    ],
    ids=["begins", "hangs", "trains", "waits for jobs", "sleeps"],
)
def test_trainer_that_neither_works_nor_waits_is_objected_to(
    home: Home, state: dict[str, bool], training: bool, silent: float, objects: bool
) -> None:
    with closing(Trainer(home, 0, lambda: None)) as trainer:
        vars(trainer).update(state, heard_at=1000.0)
        objection = silence(trainer, training, 1000.0 + silent)
    assert (objection or "").startswith("It has not been ready for 901 s.") == objects
    assert objects or objection is None


def test_each_word_of_the_trainer_is_heard(home: Home) -> None:
    """One that says again and again why it can't begin does not hang."""
    with closing(Trainer(home, 0, lambda: None)) as trainer:
        before = trainer.heard_at
        trainer._inbox.put({"unready": "The database is locked."})
        trainer.messages()
        assert trainer.heard_at > before
