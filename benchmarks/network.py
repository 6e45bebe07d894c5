"""Machines as network namespaces on a bridge of this machine; each has its own address, and its link can be cut.

Needs root and `ip`. All share the file system, so what listens on a Unix socket can be reached in spite of a cut link.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """One namespace, or without a name this machine itself; `address` is its IPv4 address."""

    name: str
    address: str
    port: str
    """The end of its link at the bridge."""
    bridge: str

    @property
    def within(self) -> Sequence[str]:
        """What a command begins with to run there; the process id stays the same."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--"] if self.name else []

    def cut(self) -> None:
        """Take its link off the bridge: packets are lost in both directions, and no end is told."""
        _ip("link", "set", self.port, "nomaster")

    def join(self) -> None:
        """Put it back."""
        _ip("link", "set", self.port, "master", self.bridge)


@dataclass(frozen=True)
class Network:
    """A bridge with this machine and others on it."""

    address: str
    """That of this machine."""
    range: str
    machines: Sequence[Machine]


def missing() -> str | None:
    """Why there can be no namespaces here; None if there can."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        return "Network namespaces need root, iproute2 and util-linux."
    try:
        with network(1):
            return None
    except RuntimeError as error:
        return f"This machine has no network namespaces: {error}"


HERE = Machine("", "127.0.0.1", "", "")


@contextmanager
def network(count: int) -> Iterator[Network]:
    """Make a bridge and machines on it; raises RuntimeError."""
    tag = secrets.token_hex(3)
    base, bridge = _free_range(), f"rt{tag}br"
    machines = [
        Machine(f"rt{tag}-{number}", f"{base}.{number + 10}", f"rt{tag}p{number}", bridge)
        for number in range(1, count + 1)
    ]
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{base}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for machine in machines:
            _ip("netns", "add", machine.name)
            stack.callback(_ip, "netns", "del", machine.name)
            _connect(machine)
        yield Network(f"{base}.1", f"{base}.0/24", machines)


def _free_range() -> str:
    """The first three numbers of addresses that no interface has."""
    taken = _ip("-4", "-o", "addr")
    ranges = [base for number in range(1, 255) if (base := f"10.213.{number}") and f"{base}." not in taken]
    return secrets.choice(ranges)


def _connect(machine: Machine) -> None:
    """Lay the link; it goes with the namespace."""
    _ip("link", "add", machine.port, "type", "veth", "peer", "name", "eth0", "netns", machine.name)
    _ip("link", "set", machine.port, "master", machine.bridge, "up")
    for rest in (
        ("addr", "add", f"{machine.address}/24", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
    ):
        _ip("-n", machine.name, *rest)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
