"""`python -m retraind.daemon.training HOME NICE DAEMON LOG`: the trainer of the daemon with this process id.

It never outlives the daemon.
"""

import sys

from retraind.daemon.processes import parent

if __name__ == "__main__":
    parent.end_with(int(sys.argv[3]))
    # Imported here: this takes seconds, in which the daemon may be killed.
    from retraind.daemon.training import trainer

    trainer.main(sys.argv[1:])
