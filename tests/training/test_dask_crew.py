"""retraind.daemon.training.engines.dask.crew: when a training waits for workers, and when it is in vain."""

from collections.abc import Collection

from retraind.daemon.training.engines.dask.crew import Crew


class Two:
    """A scheduler with two workers."""

    def workers(self) -> dict[str, int]:
        return {"tcp://a:1": 1, "tcp://b:1": 1}

    def greet(self, address: str) -> None:
        """Its answer comes later."""

    def kill(self, addresses: Collection[str]) -> None:
        """None is to be ended."""


def test_worker_that_is_greeted_again_is_awaited() -> None:
    """Its connection was closed; that the other one is refused says nothing of it."""
    crew = Crew(Two())
    crew.look()
    crew.hear("tcp://a:1", "it has another scipy")
    crew.hear("tcp://b:1", None)
    assert not crew.hopeless
    crew.look()
    crew.hear("tcp://b:1", "it has another numpy")
    assert crew.hopeless
