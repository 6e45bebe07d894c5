"""Packages that run their `__init__` at the first question for one of its names, and not when they are imported.

`import mlflow` imports all of MLflow: judges and optimisers of language models, projects, evaluation. They are a third of its
time, in each start of the trainer, which needs none of them. Modules within such a package are imported as ever.
"""

import sys
import threading
from collections.abc import Iterable, Sequence
from enum import Enum
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def defer(names: Iterable[str]) -> None:
    """Defer these packages, by their full names, from now on; those that are in memory already stay as they are."""
    sys.meta_path.insert(0, _Finder(frozenset(names)))


class _Finder(MetaPathFinder):
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package as Python finds it, with a loader that waits; None for any other module."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Deferred(spec.loader)
        return spec


class _Deferred(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # where its source is, and the like

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the package's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Only wait for a question that the module can't answer yet. Threads that ask while it runs wait until it has run."""
        lock, state = threading.RLock(), _State.WAITING

        def answer(name: str) -> Any:
            nonlocal state
            if name.startswith("__"):
                raise AttributeError(name)  # the import system asks for such names itself
            with lock:
                if state is _State.RUNNING:  # its own code asks, and what that imports
                    raise AttributeError(f"{module.__name__} has no {name} yet")
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


class _State(Enum):
    """How far a deferred module is."""

    WAITING, RUNNING, DONE = range(3)
