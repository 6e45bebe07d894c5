"""Run seeds: `python tests/simulation/simulate.py [--first N] [--count N] [--trace] [--folder PATH]`; see `runs.py`."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Make the other tests' modules and ours importable, and run."""
    # Before numpy is imported: a process that forks must have one thread.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    sys.path[:0] = [str(folder) for folder in (HERE, HERE.parent / "faults", HERE.parent, HERE.parents[1])]
    import runs

    return runs.main()


if __name__ == "__main__":
    sys.exit(main())
