"""Who plays the other processes and threads: the trainer's, the HTTP workers' and the watcher's part, as the script has it."""

import queue
import shutil
import time
from collections.abc import Callable
from typing import Any

import bundles
import orjson
from points import POINTS

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import Manifest
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Log
from retraind.daemon.dataset import segments
from retraind.daemon.processes.child import Trainer
from retraind.daemon.processes.training_job import Job, Message
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema.scores import HOLDOUTS
from retraind.daemon.storage.model_versions import NAME

STAGES = ("starting", "reading", "comparing", "staging", "registering", "done")


class Trainee(Trainer):
    """Says what the trainer says, step by step, and leaves behind what it leaves: a small real bundle, an MLflow version."""

    def __init__(
        self, home: Home, nice: int, wake: Callable[[], None], idle_seconds: float = 0.0, log: Log | None = None
    ) -> None:
        self.home, self._wake = home, wake
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._registry = Registry(home)
        self._ended: str | None = None
        self.problem, self.heard_at = None, time.monotonic()
        self.job: dict[str, Any] | None = None
        self.ready, self._stage, self._version = False, 0, 0
        self.asleep = False  # for good: nothing can happen to one that sleeps
        self._mlflow = self._sealed = ""
        self._say({"ready": 1})

    def _say(self, message: Message) -> None:
        self._inbox.put(message)
        self._wake()

    @property
    def alive(self) -> bool:
        return self._ended is None

    def keep_awake(self, now: float) -> None:
        """It is awake."""

    @property
    def failures(self) -> int:
        return 0

    @property
    def pid(self) -> int | None:
        return None

    def supervise(self, now: float) -> str | None:
        """Start again, if it has ended."""
        ended, self._ended = self._ended, None
        if ended is not None:
            self.ready, self.heard_at = False, now
            self._say({"ready": 1})
        return ended

    def train(self, job: Job) -> None:
        if self._ended is not None:
            raise BrokenPipeError("the trainer is not running")
        self.job, self._stage, self.ready = orjson.loads(orjson.dumps(job)), 0, False

    def kill(self) -> None:
        self.die(-9)

    def close(self) -> None:
        """The process ends with the daemon."""

    # What the script has it do

    def die(self, code: int) -> None:
        """End, and with it what is trained."""
        self.job, self._ended = None, f"ended with {code}"
        while not self._inbox.empty():
            self._inbox.get()
        self._wake()

    def fail(self) -> None:
        """The training that runs fails, as any fit may."""
        assert self.job is not None
        run, self.job = self.job["run"], None
        self._say({"run": run, "failed": "ValueError: a simulated fit"})
        self._say({"ready": 1})

    def go_on(self, right: int) -> str:
        """The next step of the training; its version will have `right` of a hundred held-out rows right."""
        assert self.job is not None
        name = STAGES[self._stage]
        before, POINTS.on = POINTS.on, False  # another process, with faults of its own
        try:
            self._do(name, self.job, right)
        finally:
            POINTS.on = before
        self._stage += 1
        return name

    def _do(self, name: str, job: dict[str, Any], right: int) -> None:
        run = job["run"]
        if name == "done":
            self.job = None
            self._registry.end_run(self._mlflow)
            self._say({"run": run, "done": self._version, "seconds": 1.0})
            self._say({"run": run, "failed": "The training ended with code 0 before it was done."})
            self._say({"ready": 1})
            return
        self._say({"run": run, "stage": name, "step": self._stage, "steps": len(STAGES)})
        if name == "reading":
            self.read(job)
        elif name == "comparing":
            self._say({"run": run, "note": "A candidate took long.", "seconds": 3.0})
        elif name == "staging":
            self._mlflow = self._registry.start_run("training", {})
            self._sealed = craft(self.home, self._mlflow, job, right)
        elif name == "registering":
            self._version = register(self._registry, self._mlflow, self._sealed)

    def read(self, job: dict[str, Any]) -> int:
        """Read the job's segments as the trainer does; raises what it would fail with."""
        return sum(table.num_rows for _, table in segments.read(self.home.segments, job["segments"]))


def craft(home: Home, mlflow: str, job: dict[str, Any], right: int) -> str:
    """A sealed bundle in staging; gives the sha256 of its manifest."""
    made = home.bundle(999_999)
    shutil.rmtree(made, ignore_errors=True)
    bundles.make(home, 999_999, favourite=right % 3)
    manifest = Manifest.model_validate_json((made / bundle.MANIFEST).read_bytes())
    champion = None if job["champion"] is None else {name: _holdout(90) for name in HOLDOUTS}
    scores = {"challenger": {name: _holdout(right) for name in HOLDOUTS}, "champion": champion}
    facts = {key: job[key] for key in ("reason", "revision", "dvc_md5")}
    changes = {"run": mlflow, "scores": scores | {"champion_version": job["champion"]}, **facts}
    sealed = bundle.seal(made, manifest.model_copy(update=changes))
    made.rename(home.staging(mlflow))
    return sealed


def register(registry: Registry, mlflow: str, sealed: str) -> int:
    """A version without an MLflow model, which takes a second to log."""
    labels = {"retraind.bundle": sealed}
    return int(registry.client.create_model_version(NAME, "file:///nowhere", mlflow, labels).version)


def _holdout(right: int) -> dict[str, Any]:
    return {"n": 100, "accuracy": right / 100, "recall": {}, "support": {}}


class Staff:
    """The HTTP workers as the loop sees them; `said` is what it is told of them at its next look."""

    address: tuple[str, int] | None = None
    """They listen nowhere."""

    def __init__(self) -> None:
        self.complaints: tuple[str, ...] = ()
        self.alive = 1
        self.said: list[str] = []

    @property
    def workers(self) -> "Staff":
        """Those that the keeper keeps."""
        return self

    def take_notices(self) -> list[str]:
        said, self.said = self.said, []
        self.alive = max(self.alive, 1)
        return said


class Lookout:
    """The watcher without its threads: hints come when the script has them come."""

    def __init__(self, home: Home, hint: Callable[..., None], wake: Callable[[], None]) -> None:
        self.hint = hint

    def watch(self, now: float) -> list[str]:
        return []

    def watching(self) -> str | None:
        return None

    def manner(self) -> str:
        return "Watched."

    def close(self) -> None:
        """There is nothing to close."""
