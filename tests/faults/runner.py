"""A warm process that forks one child for each case: reads cases as lines of JSON, answers with what became of each.

{"home": PATH, "action": "prepare" | "work" | "check", "fault": {…}, "failpoint": "-batches.accept:1", "first": …, "dvc": …}
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import wiring
from checks import check
from tracer import Fault, Outcome, Tracer

from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Log
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.storage.entries.batches import Batches
from retraind.daemon.storage.entries.drops import Drops
from retraind.daemon.storage.entries.erasures import Erasures

log = logs.Logger()

UNNEEDED = ("bundles", "onnx", "onnxruntime", "google")
"""Libraries that only `wiring.prepare` needs."""

OWNERS = {"dataset": Dataset, "batches": Batches, "drops": Drops, "erasures": Erasures, "inbox": Inbox}


def work(home: Home, failpoint: str) -> int:
    """Ingest what was dropped; exit code 0: all done, 3: it goes on failing, 4: the start failed."""
    if failpoint:
        cut(failpoint)
    try:
        with wiring.opened(home) as parts:
            return 0 if parts.run() else 3
    except Exception:
        log.exception("start_failed")
        return 4


def cut(failpoint: str) -> None:
    """Let the process die right before (`-`) or after (`+`) the n-th call of a method: `-batches.accept:1`."""
    side, (owner, rest) = failpoint[0], failpoint[1:].split(".")
    name, at = rest.split(":")
    real: Callable[..., Any] = getattr(OWNERS[owner], name)
    left = int(at)

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and side == "-":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(OWNERS[owner], name, call)


def finish(home: Home, *, first: bool, dvc: bool) -> int:
    """What a restart does, and then every check; exit code 0: all of them hold."""
    try:
        with wiring.opened(home) as parts:
            assert parts.run(), "the restart goes on failing"
            check(parts, first=first, dvc=dvc)
    except Exception:
        log.exception("check_failed")
        return 1
    return 0


def warm(home: Home) -> None:
    """Import in this process what a child has needed, so that the next ones need not."""
    listed = home.root.with_name("modules")

    def once() -> int:
        wiring.prepare(home)
        listed.write_text("\n".join(sys.modules))
        return 0

    assert forked(once, Fault(), home).code == 0
    for name in listed.read_text().split():
        if name.split(".")[0] not in UNNEEDED:
            with suppress(Exception):
                importlib.import_module(name)
    threads = {Path("/proc/self/task", task, "comm").read_text().strip() for task in os.listdir("/proc/self/task")[1:]}
    assert threads <= {"jemalloc_bg_thd"}, f"a process with threads must not fork: {threads}"  # that one knows fork


def forked(action: Callable[[], int], fault: Fault, home: Home) -> Outcome:
    """Run `action` in a child whose output goes to a file beside the home."""

    output = os.open(home.root.with_name(f"{home.root.name}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def child() -> int:
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            return action()
        finally:
            sys.stdout.flush()

    try:
        return Tracer(fault, home.root).run(child)
    finally:
        os.close(output)


def serve(case: dict[str, Any]) -> Outcome:
    """Run one case."""
    home, fault = Home(Path(case["home"])), Fault(**case.get("fault", {}))
    match case["action"]:
        case "prepare":
            warm(home)
            return Outcome()
        case "work":
            return forked(lambda: work(home, case.get("failpoint", "")), fault, home)
        case _:
            return forked(lambda: finish(home, first=case["first"], dvc=case["dvc"]), Fault(), home)


logs.configure(Log(format="json"))
for line in sys.stdin:
    ended = serve(json.loads(line))
    print(json.dumps({"code": ended.code, "calls": ended.calls, "hit": ended.hit}), flush=True)
