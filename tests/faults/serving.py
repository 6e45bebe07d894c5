"""An HTTP worker under the tracer: `python serving.py FAULT HOME -- ARGUMENTS of retraind.web.server.__main__`; prints what was counted."""

import json
import sys
from pathlib import Path

from tracer import Fault, Tracer


def work() -> int:
    """The worker, in the traced process: imports may start threads, so they happen there."""
    from retraind.web.server.__main__ import main

    return main(sys.argv[4:])


if __name__ == "__main__":
    fault = json.loads(sys.argv[1])
    outcome = Tracer(Fault(**{**fault, "calls": tuple(fault["calls"])}), Path(sys.argv[2])).run(work)
    print(json.dumps({"code": outcome.code, "calls": outcome.calls, "hit": outcome.hit}))
