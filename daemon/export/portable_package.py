"""The package `retraind_model` that an export brings along: copies of the few modules of retraind that its model is made of."""

import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from retraind.daemon import blend, encoding, kernel, model
from retraind.daemon.export.portable import answers, columns
from retraind.daemon.schema import hash_mixing, text_words

NAME = "retraind_model"

MODULES = {
    module.__name__: module for module in (columns, answers, text_words, hash_mixing, model, blend, kernel, encoding)
}
"""By full name; in the package each has the last part of that name."""

HEADER = '''"""The model that retraind has trained: its own estimators, and the columns of its table.

The modules of this package are copies of retraind's (Apache License 2.0). They need numpy, scipy, pandas and scikit-learn.
"""
'''


def short(name: str) -> str:
    """The name of a module in the package."""
    return name.rpartition(".")[2]


def renamed(source: str, package: str) -> str:
    """The text of a module with its imports of other modules of ours from `package`; an empty one: from beside it."""
    for name in MODULES:
        parent, _, last = name.rpartition(".")
        whole, of_module = f"import {last}", f"from {last} import"
        if package:
            whole, of_module = f"from {package} {whole}", f"from {package}.{last} import"
        source = re.sub(rf"^(\s*)from {re.escape(name)} import\b", rf"\1{of_module}", source, flags=re.MULTILINE)
        source = re.sub(rf"^(\s*)from {re.escape(parent)} import {last}$", rf"\1{whole}", source, flags=re.MULTILINE)
    return source


def write(folder: Path, used: Iterable[str]) -> None:
    """Write the package below a folder, with the `used` modules (full names) and those that they import."""
    place = folder / NAME
    place.mkdir()
    (place / "__init__.py").write_text(HEADER, encoding="utf-8")
    for name in sorted(_closure({*used, columns.__name__, answers.__name__})):
        text = renamed(inspect.getsource(MODULES[name]), NAME)
        (place / f"{short(name)}.py").write_text(text, encoding="utf-8")


def _closure(names: set[str]) -> set[str]:
    """The modules, and all of ours that they import."""
    sources = [inspect.getsource(MODULES[name]) for name in names]
    more = {other for other in MODULES if any(_imports(source, other) for source in sources)} - names
    return _closure(names | more) if more else names


def _imports(source: str, name: str) -> bool:
    parent, _, last = map(re.escape, name.rpartition("."))
    return bool(re.search(rf"^\s*from ({name} import\b|{parent} import {last}$)", source, re.MULTILINE))


def imported(name: str) -> ModuleType:
    """The copy of a module of ours; the folder of the package must be in sys.path."""
    return importlib.import_module(f"{NAME}.{short(name)}")


def text_of(module: ModuleType) -> str:
    """The text of a module that lies in an export beside the modules that it imports."""
    return renamed(inspect.getsource(module), "")


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make the package below a folder importable; afterwards it is forgotten, because the next export has its own."""
    before, writes = list(sys.path), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = before, writes
        for name in [name for name in sys.modules if name.partition(".")[0] in (NAME, short(text_words.__name__))]:
            del sys.modules[name]
