"""What happens to a service within a month: what clients, people and the machine do to it, each in a function of its own.

All of it goes through the inbox, HTTP or the command line, as in real life. A kill or restart by an act is no fault; any other end is.
"""

import gzip
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import PATIENCE, ROOT, Client, Service, wait_for
from benchmarks.inputs import Rows
from benchmarks.month.clock import Clock
from benchmarks.month.month_ledger import Dropped, Ledger
from retraind.daemon.core import status
from retraind.daemon.core.status import Step
from retraind.daemon.records.query import Row, ask

COMMAND_SECONDS = 300.0


class Month:
    """One service under way and what is known of it."""

    def __init__(self, service: Service, ledger: Ledger, seed: int, clock: Clock | None) -> None:
        self.service, self.ledger, self.source, self._clock = service, ledger, random.Random(seed), clock
        self.done: Counter[str] = Counter()
        self.restarts = 0
        """Starts that no act had planned."""
        self.problems: list[str] = []
        self._up_since, self._up_before = time.monotonic(), 0.0
        self._last = ""
        self.longest = Step(name="", seconds=0.0)
        """Of the loop, as far as the service has told."""
        self._unlabelled: list[tuple[str, list[float]]] = []

    @property
    def up_seconds(self) -> float:
        """For how long the service has been running, altogether: what waits can only be waited for meanwhile."""
        return self._up_before + time.monotonic() - self._up_since

    def act(self, name: str) -> None:
        """Do one of the acts below."""
        self.done[name] += 1
        self._last = name
        getattr(self, name)()

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer, also while workers change; one try, a connection of its own."""
        client = Client(self.service.port)
        try:
            return client.ask(path, body)
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            client.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `retraind` against the home."""
        command = [sys.executable, "-m", "retraind.daemon", *arguments, "--home", str(self.service.home.root)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)

    def find(self, query: str, *values: str | int) -> list[Row]:
        """Ask the journal."""
        return ask(self.service.home.journal, query, *values)

    # Data

    def small(self) -> None:
        """A file of up to twenty rows."""
        self._drop(self.source.randint(1, 20), 0)

    def spoilt(self) -> None:
        """A file of which some rows are bad."""
        self._drop(self.source.randint(3, 20), self.source.randint(1, 3))

    def large(self) -> None:
        """A packed file of 5,000 to 20,000 rows."""
        self._drop(self.source.randint(5_000, 20_000), 0, packed=True)

    def nonsense(self) -> None:
        """A file without a good row."""
        self._drop(0, self.source.randint(1, 5))

    def again(self) -> None:
        """The bytes of a file that was dropped before, under another name: nothing may come of it."""
        name, text = self.ledger.file(self.source.randint(1, 5), 0, self.up_seconds)
        self._put(name, text.encode())
        self._put(f"again-{name}", text.encode())

    def _drop(self, count: int, bad: int, *, packed: bool = False) -> None:
        name, text = self.ledger.file(count, bad, self.up_seconds)
        if packed:
            self.ledger.drops[f"{name}.gz"] = dropped = self.ledger.drops.pop(name)
            dropped.name = name = f"{name}.gz"
        self._put(name, gzip.compress(text.encode(), mtime=0) if packed else text.encode())

    def _put(self, name: str, content: bytes) -> None:
        hidden = self.service.home.inbox / f".{name}"
        hidden.write_bytes(content)
        hidden.rename(self.service.home.inbox / name)

    def send(self) -> None:
        """A row by HTTP, which counts once it is acknowledged."""
        features = self.ledger.flower()
        code, answer = self.ask("/add_training_data", {"features": features, "target": "setosa"})
        if code == 202:
            self.ledger.sent[(*features, "setosa")] += 1
        elif code != 0:
            self.problems.append(f"/add_training_data answered {code}: {answer}")

    def predict(self) -> None:
        """Some predictions, of which a few get their label later."""
        for _ in range(10):
            features = self.ledger.flower()
            code, answer = self.ask("/predict", {"features": features})
            if code == 200:
                self._unlabelled.append((answer["prediction_id"], features))
            elif code not in (0, 503):
                self.problems.append(f"/predict answered {code}: {answer}")

    def label(self) -> None:
        """The truth about some earlier predictions."""
        known, self._unlabelled = self._unlabelled[-5:], self._unlabelled[:-5]
        if known:
            name = f"labels-{len(self.ledger.drops):05}.csv"
            rows: Rows = Counter((*features, "setosa") for _, features in known)
            self.ledger.drops[name] = Dropped(name, rows, 0, self.up_seconds)
            self._put(name, ("prediction_id,species\n" + "".join(f"{key},setosa\n" for key, _ in known)).encode())

    # People

    def forget(self) -> None:
        """One of the drops goes, sometimes out of DVC's cache, too."""
        here = [one for one in self.ledger.drops.values() if one.state == "accepted" and not one.forgotten]
        if here:
            chosen = self.source.choice(here)
            purge = ("--purge",) if self.source.random() < 0.5 else ()
            done = self.command("forget", chosen.name, *purge)
            chosen.forgotten = done.returncode == 0
            if not chosen.forgotten:
                self.problems.append(f"forget {chosen.name}: {done.returncode} {done.stderr.strip()[-300:]}")

    def retrain(self) -> None:
        """A training by request."""
        self._request("/trigger_retrain", {"force_retrain": True})

    def promote(self) -> None:
        """Another version is to be served."""
        versions = self.find("SELECT version FROM versions WHERE state = 'promoted' ORDER BY version DESC LIMIT 3")
        if versions:
            self._request("/promote", {"version": self.source.choice(versions)["version"]})

    def roll_back(self) -> None:
        """The version before is to be served."""
        self._request("/rollback", {})

    def _request(self, path: str, body: dict[str, Any]) -> None:
        code, answer = self.ask(path, body)
        if code not in (0, 200, 202, 404, 429, 503):
            self.problems.append(f"{path} answered {code}: {answer}")

    def look(self) -> None:
        """A user looks at the page and at lists."""
        for path in ("/dashboard", "/versions", "/drops", "/events", "/metrics", "/drift", "/predictions/history"):
            client = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
            try:
                client.request("GET", path)
                code = client.getresponse().status
                if code >= 500 and code != 503:
                    self.problems.append(f"{path} answered {code}")
            except (OSError, http.client.HTTPException):
                self.done["not answered while workers changed"] += 1
            finally:
                client.close()

    def git(self) -> None:
        """A user's own git in the daemon's repository."""
        for arguments in (("status",), ("log", "--oneline", "-3"), ("gc", "--quiet")):
            subprocess.run(
                ["git", *arguments], cwd=self.service.home.data, capture_output=True, check=False, timeout=300
            )

    def backup(self) -> None:
        """A backup of the running home, which is proved by restoring it."""
        file, copy = (self.service.home.root.parent / name for name in ("backup.tar", "restored"))
        for arguments in (("backup", str(file)), None):
            done = self.command(*arguments) if arguments else self._restore(file, copy)
            if done.returncode:
                self.problems.append(f"{arguments or 'restore'}: {done.returncode} {done.stderr.strip()[-300:]}")
                break
        file.unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)

    def _restore(self, file: Path, copy: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "retraind.daemon", "restore", str(file), "--home", str(copy)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)

    # The machine

    def restart(self) -> None:
        """The service is stopped and started."""
        self._pause(self.service.terminate)

    def kill(self) -> None:
        """The daemon is killed; its workers answer on until the next one takes over."""
        self._pause(lambda: self.service.kill(workers=False))

    def kill_all(self) -> None:
        """As when the machine loses its power, but for the disk."""
        self._pause(lambda: self.service.kill(workers=True))

    def hang_up(self) -> None:
        """The workers are replaced."""
        os.kill(self.service.pid, signal.SIGHUP)

    def set_clock(self) -> None:
        """For a few seconds the clock is ten years ahead, or behind."""
        if self._clock is not None:
            self._clock.set(self.source.choice((1, -1)) * 10 * 365 * 86_400)
            time.sleep(5)
            self._clock.set(0)

    def _pause(self, end: Callable[[], None]) -> None:
        self._up_before += time.monotonic() - self._up_since
        end()
        self._start()

    def _start(self) -> None:
        self.service.start()
        self._up_since = time.monotonic()
        wait_for("a prediction after the start", lambda: self.ask("/livez")[0] == 200 or None, PATIENCE, 0.2)

    def mind(self, stall_seconds: float) -> None:
        """Note what became of files, start what has ended by itself, and say which file gets no decision."""
        if (code := self.service.ended) is not None:
            self.restarts += 1
            self.problems.append(
                f"the service ended by itself with {code} after {self._last}:\n{self.service.tail(40)}"
            )
            self._pause(lambda: self.service.kill(workers=True))
        said = status.read(self.service.home.status)
        if said is not None and said.longest_step and said.longest_step.seconds > self.longest.seconds:
            self.longest = said.longest_step
        for drop in self.ledger.waiting():
            state = self.find("SELECT state FROM drops WHERE name = ? AND state != 'duplicate'", drop.name)
            drop.state = state[0]["state"] if state else ""
            if not drop.state and self.up_seconds - drop.asked_at > stall_seconds:
                drop.state = "undecided"
                self.problems.append(f"{drop.name} was not decided within {stall_seconds:g} s")
