"""Tests side by side in forks of the process that has collected them: imports and collection cost once, not once for each worker.

`pytest --workers=3` gives each fork one module of tests after the other, in the order of the collection. The forks send
their reports here, so that pytest shows them as its own.
"""

import gc
import itertools
import os
import struct
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest

NUMBER = struct.Struct("i")
"""How the number of a module travels through a pipe: a record as short as this is read by one process, and whole."""


@dataclass
class Worker:
    """A fork, and what is known of it."""

    pid: int
    reports: Connection
    running: str = ""
    """The test that it works on."""


class Sender:
    """In a fork, the plugin that sends what it hears to the process that has collected."""

    def __init__(self, config: pytest.Config, reports: Connection) -> None:
        self._config = config
        self._reports = reports

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._reports.send(("running", nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._reports.send(("report", data))

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage, when: str, nodeid: str) -> None:
        where = (warning_message.filename, warning_message.lineno)
        self._reports.send(("warning", (str(warning_message.message), *where, when, nodeid)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--workers`."""
    parser.addoption("--workers", type=int, default=0, help="run the modules of tests in so many forks side by side")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in forks, if there are to be any."""
    count = session.config.getoption("workers")
    if not count or session.testsfailed or session.config.option.collectonly:
        return None
    run(session, count)
    return True


def run(session: pytest.Session, count: int) -> None:
    """Run the collected tests in `count` forks. Raises pytest's Failed where `--exitfirst` or `--maxfail` ends it early."""
    modules = [list(items) for _, items in itertools.groupby(session.items, key=lambda item: item.path)]
    queue, entrance = os.pipe()
    os.write(entrance, b"".join(map(NUMBER.pack, range(len(modules)))))
    os.close(entrance)
    assert (threads := threading.active_count()) == 1, f"a process with {threads} threads must not fork"
    # Made before the forks, so that they share it: otherwise nobody finds and ends the servers that they start.
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    gc.collect()
    gc.freeze()  # what the collection has made is shared with the forks, and stays so
    workers = [_fork(session, modules, queue, number) for number in range(count)]
    _hear(session, workers, queue)
    os.close(queue)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)


def _fork(session: pytest.Session, modules: Sequence[list[pytest.Item]], queue: int, number: int) -> Worker:
    receiver, sender = Pipe(duplex=False)
    if pid := os.fork():
        sender.close()
        return Worker(pid, receiver)
    code = 1
    try:
        receiver.close()
        _work(session, list(modules), queue, sender, f"fork{number}")
        code = 0
    except BaseException:  # noqa: BLE001 - what has collected must not go on twice
        traceback.print_exc()
    finally:
        os._exit(code)  # coverage saves what it has measured (pyproject.toml: patch)


def _work(
    session: pytest.Session, modules: Sequence[list[pytest.Item]], queue: int, reports: Connection, name: str
) -> None:
    """Run modules until there is none, in a fork."""
    config = session.config
    os.environ["PYTEST_XDIST_WORKER"] = name  # by which tests and plugins know that they are not alone
    _own_output(config)
    factory: Any = config._tmp_path_factory  # type: ignore[attr-defined]
    factory._basetemp = factory.mktemp(name, numbered=False)
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(Sender(config, reports))
    for item, following in itertools.pairwise(itertools.chain(_items(modules, queue), [None])):
        assert item is not None
        config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    reports.send(("ended", ""))  # not the end of the pipe, which a process that a test has forked may still hold


def _own_output(config: pytest.Config) -> None:
    """Catch the output of tests in files of this fork: those from before are shared with all others."""
    capture = config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture(in_=True)


def _items(modules: Sequence[list[pytest.Item]], queue: int) -> Iterator[pytest.Item]:
    """The tests of this fork; a module is taken when its first test follows."""
    while taken := os.read(queue, NUMBER.size):
        yield from modules[NUMBER.unpack(taken)[0]]


def _hear(session: pytest.Session, workers: list[Worker], queue: int) -> None:
    """Pass on what the forks say until all have ended."""
    running = {worker.reports: worker for worker in workers}
    while running:
        for reports in wait(list(running)):
            assert isinstance(reports, Connection)
            try:
                kind, content = reports.recv()
            except EOFError:
                kind, content = "ended", ""
            if kind == "ended":
                _ended(session, running.pop(reports))
            elif kind == "running":
                running[reports].running = content
            else:
                _pass_on(session.config, kind, content)
        if session.shouldfail:
            while os.read(queue, 4096):
                pass


def _pass_on(config: pytest.Config, kind: str, content: Any) -> None:
    if kind == "report":
        report = config.hook.pytest_report_from_serializable(config=config, data=content)
        config.hook.pytest_runtest_logreport(report=report)
        return
    text, filename, line, when, nodeid = content
    message = warnings.WarningMessage(text, UserWarning, filename, line)
    arguments = {"warning_message": message, "when": when, "nodeid": nodeid, "location": None}
    config.hook.pytest_warning_recorded.call_historic(kwargs=arguments)


def _ended(session: pytest.Session, worker: Worker) -> None:
    """Let a fork that did not end by itself fail the test that it was in; the rest of its module is not run."""
    code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
    if code:
        nodeid = worker.running
        text = f"the process that ran {nodeid} ended with {code}; what it was to run after that is missing"
        report = pytest.TestReport(nodeid, (nodeid, None, nodeid), {}, "failed", text, "call")
        session.config.hook.pytest_runtest_logreport(report=report)
