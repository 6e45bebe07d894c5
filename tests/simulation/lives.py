"""One life of the daemon: the service's parts as they are composed, run by the real loop, and the world that acts in between.

The loop asks before each step whether it is to stop, and waits when there is nothing to do: those are the moments at
which the world acts, and at which everything that `truths` knows has to hold.
"""

import os
import pickle
import queue
import signal
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import acts
import deliveries
from clock import TIMES
from players import Staff
from points import POINTS
from truths import Truths
from world import Violated, World

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.errors import BundleRefused, JournalTaken, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.registry.registry import Registry
from retraind.daemon.service import service
from retraind.daemon.service.heartbeat import Heartbeat
from retraind.daemon.service.loop import Loop
from retraind.daemon.storage.model_versions import ModelVersions

COPY_SECONDS = 0.5
"""How often the history is copied, as its thread does."""

MOST_TURNS = 1500
"""Steps and waits within which everything comes to rest once nothing happens any more."""

START_TURNS = 5
"""Turns that a start counts for which a full disk prevents."""


OLD_SECONDS, LONG_SECONDS = 89 * 86_400.0, 3000.0
"""A clock that is so fast for so long makes rejected files old."""


class Life:
    """The world's hand on one process; the loop's `Wake`."""

    def __init__(self, world: World, home: Home, saved: Path) -> None:
        self.world, self.home, self._saved = world, home, saved
        self.settings = Settings.model_validate_json(world.settings)
        self.registry, self.models = Registry(home), ModelVersions(home)
        self.staff, self.truths = Staff(), Truths(world, home)
        self.staff.complaints, self.staff.alive = world.complaints, world.workers
        self.queue = self
        self._acting, self._stopping = False, False
        self._copied = 0.0
        self._woken = False
        self._last = self._opened = False

    # One life

    def run(self) -> None:
        """Open the parts and let the loop run until something ends this life; `world.ended` says how it did."""
        world = self.world
        world.lives += 1
        world.ended = ""
        TIMES.clock, TIMES.slept = world.clock, self._sleep
        POINTS.fault, POINTS.die, POINTS.unsettled = world.fault, self.die, False
        try:
            with ExitStack() as stack:
                self._open(stack)
                self.loop.run()
                POINTS.on = False
        except Violated as violated:
            world.ended = str(violated)
        except JournalTaken as error:
            world.note(str(error))
            world.ended = "overtaken" if POINTS.unsettled else str(error)
        world.ended = world.ended or "stopped"
        world.complaints, world.workers = self.staff.complaints, self.staff.alive

    def _open(self, stack: ExitStack) -> None:
        world = self.world
        POINTS.on = True
        try:
            service.prepare(self.home, self.settings)
            self.loop = self._compose(stack)
        except (OSError, RetraindError) as error:
            if world.fault is None and POINTS.fault is None and world.quiet > 0:
                raise Violated(f"the start fails: {type(error).__name__}: {error}") from error
            world.fault = POINTS.fault
            world.note(f"the start fails: {error}")
            self._pass_turns(START_TURNS)
            raise Violated("failed to start") from error
        parts: Any = self.loop.parts
        self.journal, self.inbox, self.history_copier = parts.journal, parts.inbox, parts.history_copier
        self.trainee, self.retraining = parts.retraining.trainer, parts.retraining
        self._acting = self._opened = True

    def _compose(self, stack: ExitStack) -> Loop:
        parts: Any = self.staff
        wake: Any = self
        # Without its thread: the loop alone says how it is.
        heartbeat = Heartbeat(self.home.status, service.starting(self.home))
        return service.compose(self.home, self.settings, parts, wake, heartbeat, stack)

    def interruptible(self) -> AbstractContextManager[None]:
        """No stop is requested during a start."""
        return nullcontext()

    def die(self, what: str) -> None:
        """The process is killed, as the kernel does it."""
        POINTS.on = False
        self.world.fault = None
        self.world.note(f"dies at: {what}")
        self.world.ended = "killed"
        self.world.disturb()
        self.save()
        os.kill(os.getpid(), signal.SIGKILL)

    def stop(self) -> None:
        """The daemon is asked to stop."""
        self._stopping = True

    def save(self) -> None:
        """Keep the world for the next life."""
        self.world.fault = POINTS.fault if self.world.ended != "killed" else None
        self._saved.write_bytes(pickle.dumps(self.world))

    # What the loop sees of it

    def __call__(self) -> None:
        """Something wakes the loop."""
        self._woken = True

    @property
    def stopping(self) -> bool:
        """Asked before each step."""
        if self._acting and not self._stopping:
            self._turn()
        return self._stopping

    def get(self, timeout: float) -> str:
        """The loop waits: time passes, unless something has woken it."""
        woken, self._woken = self._woken, False
        if woken:
            return "wake"
        world = self.world
        world.idle += 1
        # A pause after failed trainings may be long: skip it instead of simulating each second.
        world.clock.now += timeout if world.idle % 60 or not world.settling else 60.0
        self._acting = False
        try:
            self.truths.at_rest(self)
        finally:
            self._acting = True
        raise queue.Empty

    def get_nowait(self) -> str:
        """Only the first wake counts."""
        raise queue.Empty

    # What the world does

    def _turn(self) -> None:
        world = self.world
        self._acting, POINTS.on = False, False
        try:
            self._pass_turns(1)
            if world.clock.now - self._copied >= COPY_SECONDS:
                self._copy()
            self.truths.after_step(self)
            if world.actions:
                self._act()
            else:
                self._settle()
            POINTS.fault = world.fault
        finally:
            self._acting, POINTS.on = True, True

    def _pass_turns(self, count: int) -> None:
        world = self.world
        world.turns += count
        world.old |= world.clock.fast > OLD_SECONDS and world.clock.now - world.clock.since > LONG_SECONDS
        world.fault = POINTS.fault
        if world.fault is not None:
            world.quiet = 0
            if world.fault.kind in ("full", "away"):
                world.fault.left -= count
                world.fault = world.fault if world.fault.left > 0 else None
            POINTS.fault = world.fault
        elif world.schema_broken:
            world.quiet = 0
        else:
            world.quiet += count

    def _act(self) -> None:
        world = self.world
        if world.random.random() >= world.pace:
            return
        names = list(world.weights)
        [name] = world.random.choices(names, [world.weights[one] for one in names])
        world.actions -= 1
        world.note(name)
        text = (acts.ACTS | acts.SERVER_ACTS)[name].do(self)
        world.trace[-1] += f": {text}" if text else ""

    def _settle(self) -> None:
        """Nothing happens any more but what was begun: the trainings end, the disk has room, the schema is whole."""
        world = self.world
        world.settling += 1
        if world.settling == 1:
            world.fault = None
            if world.schema_broken:
                acts.mend_schema(self)
            self.staff.complaints = ()
            world.quiet = 0
            world.note("nothing happens any more")
        if self.trainee.job is not None:
            world.note(f"training: {self.trainee.go_on(99)}")
        if world.settling > MOST_TURNS:
            raise Violated(f"no rest after {MOST_TURNS} turns: {self.truths.unrest(self)}")

    def rest(self) -> None:
        """All is done: one more drop is taken, and then it is over."""
        if self._last:
            self.truths.everything(self)
            self.world.ended = "rest"
            self._stopping = True
            return
        self._last = True
        self.world.note(f"the last drop: {deliveries.small(self)}")

    def _sleep(self) -> None:
        """Whoever sleeps lets the history's thread run; one who waits for the journal's server lets its turns pass."""
        if POINTS.away or not self._opened:
            self._pass_turns(1)
        if self._opened:
            self._copy()

    def _copy(self) -> None:
        """One pass of the history's thread."""
        self._copied = self.world.clock.now
        self.history_copier._ended = _Once()
        self.history_copier._run()

    def served(self) -> int | None:
        """The version that the pointer names."""
        try:
            pointer = bundle.read_pointer(self.home.pointer)
        except BundleRefused:
            return None
        return None if pointer is None else pointer.version

    def versions(self) -> int:
        """The newest version's number."""
        return max((one.version for one in self.models.versions()), default=0)


class _Once:
    """Ends the history's thread after one pass."""

    def wait(self, seconds: float) -> bool:
        return True

    def set(self) -> None:
        """It has ended already."""
