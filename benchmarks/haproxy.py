"""HAProxy before serving nodes and their leader, as examples/haproxy.cfg configures it; for benchmarks and tests."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import ROOT, wait_for

PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


@contextmanager
def balancing(folder: Path, nodes: Sequence[str], leader: int) -> Iterator[int]:
    """Run it for nodes at these addresses and a leader at this port of this machine; gives its port. The nodes must be ready."""
    if PROGRAM is None:
        raise RuntimeError("HAProxy is not installed (Debian, Ubuntu: apt install haproxy).")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    config = folder / "haproxy.cfg"
    config.write_text(configuration(port, nodes, leader))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "-db", "-f", str(config)], stdout=log, stderr=log)
    try:
        wait_for("HAProxy", lambda: _listens(port), 20)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def configuration(port: int, nodes: Sequence[str], leader: int) -> str:
    """The example with our addresses."""
    text = (ROOT / "examples" / "haproxy.cfg").read_text()
    lines = "\n".join(f"    server node-{number} {place}" for number, place in enumerate(nodes, 1))
    text, count = re.subn(r"(    server node-\d+ \S+\n)+", f"{lines}\n", text)
    for old, new in (("bind :8000", f"bind 127.0.0.1:{port}"), ("leader:5000", f"127.0.0.1:{leader}")):
        assert old in text
        text = text.replace(old, new)
    assert count == 2, "each backend of nodes lists them"
    return text


def _listens(port: int) -> bool | None:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return None
    return True
