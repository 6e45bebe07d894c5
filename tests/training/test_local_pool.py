"""retraind.daemon.training.engines: a pool of processes gives what one process gives, whatever happens to it."""

import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
from service import wait_until
from sklearn.tree import DecisionTreeClassifier
from test_model import MIXED, mixed

from retraind.daemon.core import process_table
from retraind.daemon.core.process_table import Process
from retraind.daemon.core.settings import Train
from retraind.daemon.training.engines import choice
from retraind.daemon.training.engines.local_pool import LocalPool
from retraind.daemon.training.selection import candidates, comparison
from retraind.daemon.training.selection.budget import Budget, BudgetUsed
from retraind.daemon.training.selection.candidates import Candidate
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.search import Search
from retraind.daemon.training.selection.tasks import Engine, OneByOne, Result, Task

Children = Callable[[], list[Process]]
HERE = os.getpid()


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the test, which may be a fork of the one that has imported this module."""
    monkeypatch.setattr(sys.modules[__name__], "HERE", os.getpid())


def trial_with(**settings: Any) -> Trial:
    return Trial(MIXED, *mixed(), Train(**settings))


@contextmanager
def pool(trial: Trial, jobs: int = 2) -> Iterator[LocalPool]:
    made = LocalPool(trial, jobs)
    try:
        yield made
    finally:
        made.close()


def compared(trial: Trial, engine: Engine) -> Outcome:
    return comparison.compare(candidates.plan(MIXED, trial.settings), trial, engine)


def assert_equal(one: Outcome, other: Outcome) -> None:
    """To the bit, but for the seconds."""
    assert [scored.name for scored in one.scored] == [scored.name for scored in other.scored]
    for mine, theirs in zip(one.scored, other.scored, strict=True):
        assert (mine.rank, mine.by_fold, mine.loss_by_fold) == (theirs.rank, theirs.by_fold, theirs.loss_by_fold)
        assert all(np.array_equal(*pair) for pair in zip(mine.kept, theirs.kept, strict=True))
        assert np.array_equal(mine.places, theirs.places)
    assert one.left_out == other.left_out
    assert one.ranking[0].name == other.ranking[0].name


def test_pool_gives_the_same_outcome(children: Children) -> None:
    """In any order of ends, also of candidates that fail; no process is left."""
    trial = trial_with(candidates=["forest", "logistic", "tree", "crashing:Raises", "boosting"])
    with pool(trial, 3) as engine:
        shared = compared(trial, engine)
    assert_equal(compared(trial, OneByOne(trial)), shared)
    assert shared.left_out == {"crashing:Raises": "ZeroDivisionError: somebody divided by zero"}
    assert not children()


class Elsewhere(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree that comes to grief in other processes."""

    def __init__(self, grief: str = "", max_depth: int | None = 3, random_state: int | None = 0) -> None:
        super().__init__(max_depth=max_depth, random_state=random_state)
        self.grief = grief

    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        if os.getpid() != HERE:
            if self.grief == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.grief == "memory":
                raise MemoryError
            if self.grief == "slow":
                time.sleep(1000)
        return super().fit(X, y, **more)


def results_of(trial: Trial, tasks: list[Task], jobs: int = 2) -> dict[Task, Result]:
    with pool(trial, jobs) as engine:
        engine.add(tasks)
        results: list[Result] = []
        while len(results) < len(tasks):
            results += engine.wait(60)
    return {result.task: result for result in results}


@pytest.mark.parametrize("grief", ["killed", "memory"])
def test_task_that_another_process_cannot_run_runs_here(grief: str) -> None:
    """It is killed, or its share of the memory is too small: with one process it would have had all of it."""
    trial = trial_with(folds=3)
    odd, even = Candidate("odd", Elsewhere(grief)), Candidate("even", Elsewhere())
    tasks = [Task(candidate, fold) for fold in range(3) for candidate in (odd, even)]
    results = results_of(trial, tasks)
    for task in tasks:
        fold = results[task].fold
        assert fold is not None
        assert fold.figures == trial.fold(even, task.fold).figures


def test_task_of_a_killed_process_runs_before_those_behind_it(children: Children) -> None:
    """At once, so that no time budget cuts the candidate."""
    trial = trial_with(folds=5)
    slow, quick = Candidate("slow", Elsewhere("slow")), Candidate("quick", Elsewhere())
    with pool(trial, 1) as engine:
        engine.add([Task(slow, 0), *(Task(quick, fold) for fold in range(5))])
        assert engine.wait(0.3) == []
        (busy,) = children()
        os.kill(busy.pid, signal.SIGKILL)
        assert engine.wait(0.3) == [], "it runs again, and takes as long"
        assert engine.drop([Task(slow, 0)]).keys() == {Task(slow, 0)}
        assert engine.wait(60)[0].task == Task(quick, 0)


def test_idle_process_that_was_killed_is_replaced(children: Children) -> None:
    """The next task runs in another one."""
    trial = trial_with(folds=2)
    tasks = [Task(Candidate("even", Elsewhere()), fold) for fold in range(2)]
    with pool(trial, 1) as engine:
        engine.add(tasks[:1])
        assert engine.wait(60)[0].task == tasks[0]
        (idle,) = children()
        os.kill(idle.pid, signal.SIGKILL)
        wait_until(lambda: not process_table.working(idle.pid))
        engine.add(tasks[1:])
        assert engine.wait(60)[0].task == tasks[1]
        assert children()[0].pid != idle.pid


def test_estimator_that_cannot_be_sent_runs_here() -> None:
    """A class made in a function is known to no other process."""

    class Local(DecisionTreeClassifier):  # type: ignore[misc]
        pass

    task = Task(Candidate("local", Local(max_depth=3)), 0)
    assert results_of(trial_with(), [task])[task].fold is not None


def test_dropped_tasks_end_at_once() -> None:
    """However long they would take and whatever they catch; the next task gets another process."""
    trial = trial_with(folds=2)
    slow = [Task(Candidate("slow", Elsewhere("slow")), fold) for fold in range(2)]
    quick = Task(Candidate("quick", Elsewhere()), 0)
    with pool(trial) as engine:
        engine.add(slow)
        assert engine.wait(0.5) == []
        engine.add([quick])
        ran = engine.drop(slow)
        assert set(ran) == set(slow)
        assert 0.1 < ran[slow[0]] < 60
        assert [result.task for result in engine.wait(60)] == [quick]
        assert engine.wait(math.inf) == []


@pytest.mark.parametrize("endless", ["crashing:Slow", "crashing:Deaf"])
def test_used_budget_leaves_who_has_finished(endless: str) -> None:
    """As with one process, and also a fit that would not listen to an alarm ends in time."""
    trial = trial_with(candidates=[endless, "least_squares", "tree"], budget_seconds=1)
    started = time.monotonic()
    with pool(trial) as engine:
        outcome = compared(trial, engine)
    assert time.monotonic() - started < 3
    assert [one.name for one in outcome.scored] == ["least_squares", "tree"]
    assert "train.budget_seconds = 1 was used up" in outcome.left_out[endless]


def test_used_budget_leaves_one_at_least() -> None:
    """However small it is, with as many folds as there are until the first one has ended."""
    trial = trial_with(candidates=["tree", "logistic"], budget_seconds=1e-9)
    with pool(trial) as engine:
        outcome = compared(trial, engine)
    assert len(outcome.scored) == 1
    assert len(outcome.scored[0].kept.targets) == 0


def test_no_process_outlives_a_killed_training(tmp_path: Path, children: Children) -> None:
    """The kernel ends them with it."""

    def train() -> None:
        with pool(trial_with()) as engine:
            engine.add([Task(Candidate("slow", Elsewhere("slow")), fold) for fold in range(2)])
            engine.wait(0.2)
            (tmp_path / "pids").write_text(" ".join(str(one.pid) for one in children()))
            engine.wait(60)

    training = forks.start(train)
    wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert all(process_table.working(pid) for pid in pids)
    os.kill(training, signal.SIGKILL)
    assert forks.end(training) == -signal.SIGKILL
    wait_until(lambda: not any(process_table.working(pid) for pid in pids))


def test_processes_share_the_memory_limit() -> None:
    """All together they may allocate what one could."""

    def limited() -> None:
        process_table.limit_memory(4 << 30)
        before = process_table.memory_left()
        process_table.share_memory_limit(4)
        assert abs(process_table.memory_left() - before / 4) < 1 << 20
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.getrlimit(resource.RLIMIT_DATA)[1]

    assert forks.end(forks.start(limited)) == 0


def test_jobs_are_what_cores_niceness_and_memory_allow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Few rows get two processes at least; a number in the settings counts as it is."""
    monkeypatch.setattr(choice, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    many, few = np.zeros((60_000, 20)), np.zeros((100, 20))
    for jobs, nice, expected in ((1, 10, 1), (3, 10, 3), (0, 10, 8), (0, 5, 7)):
        assert choice.jobs(many, Train(jobs=jobs, nice=nice)) == expected
    for quota, expected in (("max 100000", 8), ("400000 100000", 3), ("50000 100000", 1)):
        choice.QUOTA.write_text(f"{quota}\n")
        assert choice.jobs(many, Train(jobs=0)) == expected
    choice.QUOTA.unlink()
    assert choice.jobs(few, Train()) == 2
    assert choice.jobs(few, Train(jobs=0)) == 8
    monkeypatch.setattr(process_table, "memory_left", lambda: 3 * choice.FRAMES * many.nbytes)
    assert choice.jobs(many, Train(jobs=0)) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    assert choice.jobs(few, Train()) == 1


def test_tuning_makes_the_same_tries_with_any_number_of_jobs() -> None:
    """Though they are begun before those before them have ended: parameters, leaders, and the random numbers after them."""
    trial = trial_with(
        candidates=["logistic", "tree", "boosting"], grids={"boosting": {"max_iter": [5]}}, tune_seconds=1000
    )
    outcome, states = compared(trial, OneByOne(trial)), []
    for jobs in (1, 3):
        engine = OneByOne(trial) if jobs == 1 else LocalPool(trial, jobs)
        tries = Search(trial, outcome.ranking, engine)
        for _ in range(25):
            tries.step()
        tries.blend()
        engine.close()
        leaders = [(name, leader.tuned, leader.scored.by_fold) for name, leader in tries.leaders.of.items()]
        assert tries.tried >= 25
        states.append((leaders, tries.tried, tries._state))
    assert states[0] == states[1]
    assert any(tuned and tuned.parameters for _, tuned, _ in states[0][0]), "some try was better"


def test_tries_ahead_end_with_the_time() -> None:
    """Nothing of them is left in the engine."""
    trial = trial_with(candidates=["forest"], folds=3, tune_seconds=1000)
    outcome = compared(trial, OneByOne(trial))
    with pool(trial) as engine:
        tries = Search(trial, outcome.ranking, engine)
        tries.limit = Budget(1e-9)
        with pytest.raises(BudgetUsed):
            endless(tries)
        assert not tries._ahead
        assert engine.wait(0) == []
        assert tries.tried


def endless(tries: Search) -> None:
    """A fold may have ended by the time at which the second process is forked, so one step need not be enough."""
    while True:
        tries.step()
