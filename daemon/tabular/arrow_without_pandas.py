"""pyarrow without pandas: its first array would import pandas, 0.7 s and 40 MB, to recognise pandas objects.

The daemon has none of those. pyarrow looks for pandas once per process, so it is made to find none once.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pyarrow does without it", name=fullname)
        return None


def without_pandas() -> None:
    """Have pyarrow look for pandas now, and find none; afterwards other code can import it."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)
