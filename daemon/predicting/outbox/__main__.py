"""`python -m retraind.daemon.predicting.outbox HOME DAEMON SETTINGS`: the process of the outbox, which never outlives that daemon."""

import signal
import sys

from retraind.daemon.processes import parent

if __name__ == "__main__":
    parent.end_with(int(sys.argv[2]))
    from retraind.daemon.predicting.outbox import process

    def _stop(_number: int, _frame: object) -> None:
        raise process.Stopped

    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends us
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel sends it for files that others open (leases)
    try:
        process.main(sys.argv[1], sys.argv[3])
    except process.Stopped:
        sys.exit(0)
