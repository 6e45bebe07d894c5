"""A leader and its standby as whole services: the time from the loss of the leader until the other machine accepts a drop.

The drop comes into the standby's inbox at the moment of the loss. Killed (-9), stopped (SIGSTOP), the journal's server restarted,
and, as root, cut off: then both services are in network namespaces. PostgreSQL and a store (moto) share this machine.
Example: python -m benchmarks.ingest.take_over --rounds 5
"""

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import machine, show, spread
from benchmarks.harness import Service, wait_for
from benchmarks.ingest.store import moto
from benchmarks.network import HERE, Machine, missing, network
from benchmarks.postgres import Postgres
from retraind.daemon.core import status
from retraind.daemon.core.status import Status

SETTINGS = {
    "retrain__cooldown_seconds": 0,
    "retrain__schedule": "",
    "retrain__threshold_rows": 1_000_000,
    "leader__standby": "true",
    "server__auth": "none",
    "server__workers": 1,
    "inbox__settle_seconds": 0.1,
}

HEADER = "sepal_length,sepal_width,petal_length,petal_width,species\n"


@dataclass
class Machines:
    """Two services that share a journal and a store."""

    both: tuple[Service, Service]
    postgres: Postgres
    drops: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def roles(self) -> tuple[Service, Service]:
        """The leader and the standby, once both are that."""
        return wait_for("a leader and a standby", self._roles, pause=0.05)

    def _roles(self) -> tuple[Service, Service] | None:
        a, b = self.both
        return (a, b) if _leads(a) and _stands_by(b) else (b, a) if _leads(b) and _stands_by(a) else None

    def measure(self, what: str, lose: Callable[[Service], object], restore: Callable[[Service], object]) -> None:
        """Lose the leader once; the time until the standby has accepted a drop, then everything as before."""
        leader, standby = self.roles()
        time.sleep(0.37)  # not always at the same moment of a beat
        began = time.monotonic()
        lose(leader)
        self.seconds.setdefault(what, []).append(self._accept(standby, began))
        restore(leader)

    def restart_server(self) -> None:
        """Restart the journal's server; the time until the leader has accepted a drop, from when it answers again."""
        leader, _ = self.roles()
        self.postgres.stop()
        self.postgres.start()
        self.seconds.setdefault("server restarted", []).append(self._accept(leader, time.monotonic()))

    def _accept(self, service: Service, began: float) -> float:
        self.drops += 1
        name = f"drop-{self.drops}.csv"
        hidden = service.home.inbox / f".{name}"
        hidden.write_text(f"{HEADER}{5 + self.drops / 1000:.4f},3.5,1.4,0.2,setosa\n")
        hidden.rename(service.home.inbox / name)

        def accepted() -> bool | None:
            with suppress(Exception):  # the server may be away
                return service.records.drops.find(name) is not None or None
            return None

        service.wait_for(f"{name} to be accepted", accepted)
        return time.monotonic() - began


def _status(service: Service) -> Status | None:
    said = status.read(service.home.status)
    return said if said is not None and said.alive and said.leadership is not None else None


def _leads(service: Service) -> bool:
    said = _status(service)
    return said is not None and said.state == "ready"


def _stands_by(service: Service) -> bool:
    said = _status(service)
    return said is not None and said.state == "standby" and "complete" in said.checks["storage"].detail


@contextmanager
def machines() -> Iterator[Machines]:
    """Start everything, in network namespaces if that is possible."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="retraind-leaders-", ignore_cleanup_errors=True))
        )
        net = None if missing() else stack.enter_context(network(2))
        postgres = Postgres.make(
            {"listen_addresses": net.address} if net else {}, f"host all all {net.range} trust\n" if net else ""
        )
        stack.callback(postgres.remove)
        storage = stack.enter_context(moto(Machine("", net.address, "", "") if net else HERE))
        url = postgres.url(host=net.address if net else "")
        shared = {"journal__url": url, "storage__url": storage.url, "storage__endpoint": storage.endpoint}
        places = net.machines if net else (HERE, HERE)
        services = [
            _service(folder / name, place, stack, leader__name=name, **SETTINGS, **shared)
            for name, place in zip("ab", places, strict=True)
        ]
        services[0].wait_answers()
        yield Machines((services[0], services[1]), postgres)


def _service(folder: Path, place: Machine, stack: ExitStack, **settings: object) -> Service:
    folder.mkdir()
    service = Service(folder, **settings)
    service.machine = place
    stack.callback(service.close)
    service.start()
    time.sleep(3)
    return service


def _stop(service: Service) -> None:
    os.kill(service.pid, signal.SIGSTOP)


def _resume(service: Service) -> None:
    """Let a stopped leader go on: it ends, and is started again."""
    os.kill(service.pid, signal.SIGCONT)
    _start_again(service)


def _join(service: Service) -> None:
    """Give a leader that was cut off its link again: it ends, and is started again."""
    service.machine.join()
    _start_again(service)


def _start_again(service: Service) -> None:
    code = wait_for("the end of the deposed leader", lambda: service.ended)
    assert code == 11, code
    service.start()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="losses of each kind")
    parser.add_argument("--log", action="store_true", help="print the log of both services")
    options = parser.parse_args()
    with machines() as place:
        for _ in range(options.rounds):
            place.measure("killed (-9)", lambda one: one.kill(workers=False), lambda one: one.start())
            place.measure("stopped (SIGSTOP)", _stop, _resume)
            place.restart_server()
            if place.both[0].machine.name:
                place.measure("cut off", lambda one: one.machine.cut(), _join)
        rows = [[what, str(len(seconds)), *spread(seconds, 2)] for what, seconds in place.seconds.items()]
        if options.log:
            for service in place.both:
                print(service.tail(200))
    show("Seconds until the next drop was accepted", ["leader", "n", "median", "least", "most"], rows)
    print(machine())


if __name__ == "__main__":
    main()
