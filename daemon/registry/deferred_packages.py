"""Packages that run their `__init__` at the first access to one of its names, not at their import.

`import mlflow` imports all of MLflow: judges and optimisers of language models, projects, evaluation. They are a third
of its time, in each start of the trainer, which needs none of them. Modules within such a package are imported as
usual.
"""

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_bootstrap: Any = importlib._bootstrap


def defer(names: Iterable[str]) -> None:
    """Defer these packages, by their full names, from now on; already imported ones stay as they are."""
    sys.meta_path.insert(0, _Finder(frozenset(names)))


class _Finder(MetaPathFinder):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package's spec, with a deferring loader; None for any other module."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Deferred(spec.loader)
        return spec


class _Deferred(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # the location of its source, for example

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as the package's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Defer running the module until a missing attribute is accessed. Other threads wait while it runs.

        If two threads wait for each other's packages, one gets the error that there is no such name yet, as in Python.
        """
        state = _State.WAITING

        def answer(name: str) -> Any:
            nonlocal state
            if name.startswith("__"):
                raise AttributeError(name)  # the import system itself accesses such names
            with _import_lock(module, name):
                if state is _State.RUNNING:  # accessed by its own code, or by modules that it imports
                    raise _not_yet(module, name)
                if state is _State.WAITING:
                    state = _State.RUNNING
                    try:
                        self._loader.exec_module(module)
                    except BaseException:
                        state = _State.WAITING
                        raise
                    state = _State.DONE
                    if module.__dict__.get("__getattr__") is answer:
                        del module.__dict__["__getattr__"]
            return getattr(module, name)

        module.__dict__["__getattr__"] = answer


@contextmanager
def _import_lock(module: ModuleType, name: str) -> Iterator[None]:
    """Hold the lock under which Python imports the module; raises AttributeError for a deadlock.

    Two threads may each import a module that the other is importing. With a lock of our own, both would wait forever.
    Python's import locks detect such a deadlock.
    """
    lock = _bootstrap._ModuleLockManager(module.__name__)
    try:
        lock.__enter__()
    except _bootstrap._DeadlockError:
        raise _not_yet(module, name) from None
    try:
        yield
    finally:
        lock.__exit__()


def _not_yet(module: ModuleType, name: str) -> AttributeError:
    return AttributeError(f"{module.__name__} has no {name} yet")


class _State(Enum):
    """The loading state of a deferred module."""

    WAITING, RUNNING, DONE = range(3)
