"""The package that goes with a model: copies of the few modules of retraind that pipelines are made of."""

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from retraind.daemon import blend, encoding, kernel, model
from retraind.daemon.artifacts import class_names
from retraind.daemon.portable import answers, columns
from retraind.daemon.schema import hash_mixing, text_words

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


def _digest() -> str:
    """A hash of the modules."""
    return hashlib.sha256("".join(map(inspect.getsource, MODULES.values())).encode()).hexdigest()[:8]


NAME = f"retraind_model_{_digest()}"
"""Another content has another name, so a program may load models of several releases."""


def write(folder: Path) -> None:
    """Write the package below a folder."""
    place = folder / NAME
    place.mkdir()
    (place / "__init__.py").write_text(HEADER, encoding="utf-8")
    for name, module in MODULES.items():
        text = renamed(inspect.getsource(module), NAME)
        (place / f"{short(name)}.py").write_text(text, encoding="utf-8")


def imported(name: str) -> ModuleType:
    """The copy of a module of ours; the folder of the package must be in sys.path."""
    return importlib.import_module(f"{NAME}.{short(name)}")


def text_of(module: ModuleType) -> str:
    """The text of a module that lies in an export beside the modules that it imports."""
    return renamed(inspect.getsource(module), "")


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Make the package below a folder importable; afterwards all is as before, because the folder may be gone then."""
    path, writes, before = list(sys.path), sys.dont_write_bytecode, _taken()
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, writes
        _taken()
        sys.modules.update(before)


def _taken() -> dict[str, ModuleType]:
    """The modules of the package that are in memory, which are not there any more."""
    roots = (NAME, short(text_words.__name__))
    return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in roots}


def with_own_names(data: bytes) -> bytes:
    """A skops file with the names of our modules instead of those of the package."""
    names = {short(name).encode(): name.encode() for name in MODULES}
    mark = re.compile(rb'("__module__": )"retraind_model_[0-9a-f]+\.(\w+)"')
    return class_names.renamed(data, mark, lambda found: found[1] + b'"' + names[found[2]] + b'"')
