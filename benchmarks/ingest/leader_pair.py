"""Two machines that share a journal and a store, as processes with the daemon's real parts and loop, without HTTP workers and trainings.

They are forked from a process that has imported everything. A trigger of the database notes the writer of each transaction and
the epoch of that moment.
"""

import gc
import os
import posix
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import Service, wait_for
from benchmarks.ingest.store import moto
from benchmarks.postgres import Postgres
from retraind.daemon.core import logs, status
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.settings import Inbox, Journal, Leader, Log, Retrain, Server, Settings, Storage
from retraind.daemon.dataset import dvc
from retraind.daemon.processes.child import Trainer
from retraind.daemon.processes.stop_signals import Wake
from retraind.daemon.processes.worker_keeper import WorkerKeeper
from retraind.daemon.service import service
from retraind.daemon.service.heartbeat import Heartbeat
from retraind.daemon.service.loop import Loop
from retraind.daemon.service.parts import Frame, open_parts

HEADER = "sepal_length,sepal_width,petal_length,petal_width,species\n"

AUDIT = (
    "CREATE TABLE {schema}.audit (writes bigint, writer text, epoch bigint)",
    """CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {schema}.audit SELECT NEW.writes, NEW.writer, epoch FROM {schema}.leadership; RETURN NULL; END $$""",
    "CREATE TRIGGER note AFTER UPDATE ON {schema}.journal_state FOR EACH ROW EXECUTE FUNCTION {schema}.note()",
)


@dataclass
class Machine:
    """One of the two: a home, and the process that leads it or stands by."""

    home: Home
    settings: Settings
    pid: int = 0
    dropped: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.leader.name

    def start(self) -> None:
        """Fork its process."""
        self.pid = os.fork()
        if self.pid == 0:
            self._run()

    def _run(self) -> None:
        gc.freeze()
        code = 1
        try:
            with (self.home.root / "log.txt").open("ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            logs.configure(self.settings.log)
            work(self.home, self.settings)
            code = 0
        except RetraindError as error:
            print(f"ended: {error}", file=sys.stderr, flush=True)
            code = int(error.exit)
        except BaseException:  # noqa: BLE001 - the driver must not go on in a fork
            traceback.print_exc()
        finally:
            posix._exit(code)

    def drop(self, length: float) -> None:
        """Put a file with one row into its inbox."""
        self.dropped.append(length)
        hidden = self.home.inbox / f".{length}.csv"
        hidden.write_text(f"{HEADER}{length},3.5,1.4,0.2,setosa\n")
        hidden.rename(self.home.inbox / f"{length}.csv")

    def stands_by(self) -> bool:
        """Whether its present process stands by."""
        said = status.read(self.home.status)
        return said is not None and said.pid == self.pid and said.state == "standby"

    def ended(self) -> int | None:
        """The exit code of its process; None while it runs."""
        done, code = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(code) if done else None


def work(home: Home, settings: Settings) -> None:
    """What `retraind run` does besides its HTTP workers."""
    wake = Wake()
    wake.listen()
    with ExitStack() as stack:
        stack.enter_context(service.locked(home))
        service.prepare(home, settings)
        journal_server.settle(home, settings.journal.url)
        heartbeat = Heartbeat(home.status, service.starting(home))
        stack.callback(heartbeat.stop)
        heartbeat.start()
        keeper = WorkerKeeper(home, settings, 1, wake)
        stack.callback(keeper.close)
        trainer = Trainer(home, 10, wake, 600.0, settings.log)
        stack.callback(trainer.close)
        Loop(open_parts(Frame(home, settings, wake, heartbeat, stack), keeper, trainer)).run()


@dataclass
class Pair:
    """Both machines, the server of their journal, and what was measured."""

    machines: tuple[Machine, Machine]
    postgres: Postgres
    url: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def schema(self) -> str:
        """The schema of the journal."""
        return self.url.rpartition("%3D")[2]

    def epoch(self) -> tuple[int, str]:
        """The newest epoch, and its leader."""
        [(epoch, leader)] = self.postgres.sql(f"SELECT epoch, leader FROM {self.schema}.leadership")
        return int(epoch), str(leader)

    def batch(self) -> int:
        """The newest batch."""
        [(batch,)] = self.postgres.sql(f"SELECT COALESCE(max(seq), 0) FROM {self.schema}.batches")
        return int(batch)

    def roles(self) -> tuple[Machine, Machine]:
        """The leader and the standby, once the other one stands by."""
        return wait_for("a leader and a standby", self._roles, pause=0.02)

    def _roles(self) -> tuple[Machine, Machine] | None:
        self.revive()
        leader = self.epoch()[1]
        leading, other = sorted(self.machines, key=lambda machine: machine.name != leader)
        return (leading, other) if other.stands_by() else None

    def change(self, loss: str) -> None:
        """Lose the leader; wait until another epoch has accepted a batch, and start again what has ended."""
        leader, _ = self.roles()
        epoch, batch, began = self.epoch()[0], self.batch(), time.monotonic()
        if loss == "killed (-9)":
            os.kill(leader.pid, signal.SIGKILL)
        elif loss == "stopped (SIGSTOP)":
            os.kill(leader.pid, signal.SIGSTOP)
        else:
            self.postgres.sql(f"SELECT pg_terminate_backend(pid) FROM {self.schema}.leadership")
        wait_for(
            "another epoch",
            lambda: self.epoch()[0] > epoch or (loss == "session ended" and self.batch() > batch) or None,
            pause=0.02,
        )
        batch = max(batch, self.batch())
        wait_for("a batch", lambda: self.batch() > batch or None, pause=0.02)
        self.seconds.setdefault(loss, []).append(time.monotonic() - began)
        if loss == "stopped (SIGSTOP)":
            os.kill(leader.pid, signal.SIGCONT)
        if self.epoch()[0] > epoch:
            code = wait_for(f"the end of {leader.name}", leader.ended, pause=0.02)
            self.codes[f"{loss}: exit code {code}"] += 1
            leader.start()

    def wait_for_epoch(self, after: int) -> None:
        """Wait until a newer epoch than `after` has begun."""
        wait_for("another epoch", lambda: self.epoch()[0] > after or None, pause=0.02)

    def revive(self) -> None:
        """Start a machine whose process has ended by itself, as systemd would."""
        for machine in self.machines:
            code = machine.ended()
            if code is not None:
                self.codes[f"by itself: exit code {code}"] += 1
                machine.start()


@contextmanager
def pair() -> Iterator[Pair]:
    """Start everything: the first machine serves a version."""
    dvc.preload()  # before the forks
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="retraind-leaders-", ignore_cleanup_errors=True))
        )
        postgres = Postgres.make({"fsync": "off"})
        stack.callback(postgres.remove)
        storage, url = stack.enter_context(moto()), postgres.url()
        first = _served(folder / "a", url, storage)
        (folder / "b/home").mkdir(parents=True)
        both = (
            Machine(first, _settings("a", url, storage)),
            Machine(Home(folder / "b/home"), _settings("b", url, storage)),
        )
        both[1].home.make()
        place = Pair(both, postgres, url)
        postgres.sql(*(statement.format(schema=place.schema) for statement in AUDIT))
        for machine in both:
            machine.start()
            stack.callback(_end, machine)
            time.sleep(2)
        yield place


def _settings(name: str, url: str, storage: Storage) -> Settings:
    return Settings(
        server=Server(port=0),
        inbox=Inbox(settle_seconds=0.0, scan_seconds=0.2),
        retrain=Retrain(threshold_rows=1_000_000, schedule=""),
        journal=Journal(url=url),
        storage=storage,
        leader=Leader(standby=True, name=name, beat_seconds=0.2, stale_seconds=1.0),
        log=Log(format="json"),
    )


def _served(folder: Path, url: str, storage: Storage) -> Home:
    """A home whose first version is served."""
    folder.mkdir()
    own = {
        "journal__url": url,
        "storage__url": storage.url,
        "storage__endpoint": storage.endpoint,
        "leader__standby": "true",
    }
    service = Service(folder, leader__name="a", retrain__schedule="", **own)
    try:
        service.start()
        service.wait_started()
        service.terminate()
    finally:
        service.close()
    return service.home


def _end(machine: Machine) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(machine.pid, signal.SIGKILL)
        os.waitpid(machine.pid, 0)
