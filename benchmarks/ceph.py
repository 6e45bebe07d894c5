"""Ceph's gateway for S3 with a monitor and an OSD of its own, which keeps its objects in memory; for benchmarks and long tests.

Debian's packages radosgw, ceph-osd and ceph-mon must be installed, or unpacked (`dpkg -x`) in the folder that CEPH_ROOT
names.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import wait_for

LIBRARIES = ("lib", "usr/lib")
MACHINE = "x86_64-linux-gnu"

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = {monitor}
public addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = 4294967296
osd class dir = {plugins}/rados-classes
plugin dir = {plugins}/ceph
erasure code dir = {plugins}/ceph/erasure-code
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
log to stderr = false
pid file =
mon data = {folder}/mon
osd data = {folder}/osd
keyring = {folder}/keyring
rgw data = {folder}/rgw
"""

KEYS: Mapping[str, Mapping[str, str]] = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "client.rgw": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
}
"""What each process may do."""


def root() -> Path | None:
    """The folder with Ceph's programs in usr/bin; None if they are not there."""
    folder = Path(os.environ.get("CEPH_ROOT", "/"))
    return folder if all((folder / "usr/bin" / name).exists() for name in ("radosgw", "ceph-osd", "ceph-mon")) else None


class Ceph:
    """A gateway with one user, who has these keys."""

    def __init__(self, folder: Path, key: str, secret: str) -> None:
        installed = root()
        assert installed is not None
        self._root, self._folder = installed, folder
        self._running: list[subprocess.Popen[bytes]] = []
        self.port, *ports = _free_ports(3)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._monitor = f"[v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]"
        try:
            self._start()
            wait_for("Ceph's gateway", lambda: self._answers() or None, 120, 0.1)
            user = ("--uid", "test", "--display-name", "test", "--access-key", key, "--secret-key", secret)
            self._run("radosgw-admin", "user", "create", *user)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it, with all objects."""
        for process in reversed(self._running):
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        for name in ("mon", "osd", "rgw"):
            (self._folder / name).mkdir(parents=True)
        plugins = self._root / "usr/lib" / MACHINE
        text = CONFIGURATION.format(fsid=fsid, monitor=self._monitor, plugins=plugins, folder=self._folder)
        (self._folder / "ceph.conf").write_text(text)
        keyring, monmap = str(self._folder / "keyring"), str(self._folder / "monmap")
        for number, (name, rights) in enumerate(KEYS.items()):
            caps = [word for service, right in rights.items() for word in ("--cap", service, right)]
            new = () if number else ("--create-keyring",)
            self._run("ceph-authtool", *new, keyring, "--gen-key", "-n", name, *caps)
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", self._monitor, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._begin("ceph-mon", "-f", "-i", "a")
        self._run("ceph", "--connect-timeout", "60", "osd", "new", osd)
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd)
        self._begin("ceph-osd", "-f", "-i", "0")
        self._begin("radosgw", "-f", "-n", "client.rgw", "--rgw-frontends", f"beast endpoint=127.0.0.1:{self.port}")

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._root / "usr/bin" / program), *words]
        done = subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr

    def _begin(self, program: str, *words: str) -> None:
        command = [str(self._root / "usr/bin" / program), *words]
        with (self._folder / f"{program}.out").open("wb") as log:
            self._running.append(subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log))

    def _environment(self) -> dict[str, str]:
        folders = [self._root / library / machine for library in LIBRARIES for machine in (MACHINE, ".")]
        libraries = ":".join(map(str, [*folders, self._root / "usr/lib" / MACHINE / "ceph"]))
        python = str(self._root / "usr/lib/python3/dist-packages")
        variables = {"LD_LIBRARY_PATH": libraries, "PYTHONPATH": python} if self._root != Path("/") else {}
        return {**os.environ, **variables, "CEPH_CONF": str(self._folder / "ceph.conf")}

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(self.endpoint, timeout=5) as answer:
            return bool(answer.status == 200)
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]
