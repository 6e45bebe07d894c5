"""Notes what every process imports: names of packages in a file of its own, by its pid, in the folder that IMPORTS names.

Python runs this at its start where PYTHONPATH has this folder.
"""

import os
import sys
from typing import Any

_known: dict[int, set[str]] = {}


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Called by the interpreter before it looks for a module; a forked child has what its parent had, too."""
    if event != "import":
        return
    pid, (name, dot, _) = os.getpid(), str(arguments[0]).partition(".")
    if not dot:
        return  # it may be refused; a package that is imported imports its modules
    seen = _known.setdefault(pid, set())
    if name not in seen:
        seen.add(name)
        file = os.open(os.path.join(os.environ["IMPORTS"], str(pid)), os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # noqa: PTH118
        os.write(file, f"{name}\n".encode())
        os.close(file)


sys.addaudithook(_note)
