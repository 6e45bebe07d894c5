"""Models in MLflow from releases before 0.2: their files name our classes by `daemon.model` instead of `retraind.daemon.model`.

Bundles need nothing of this. For `mlflow.sklearn.load_model` and `mlflow.pyfunc.load_model`:

    from retraind import earlier_models
    earlier_models.register()
"""

import sys
from importlib import import_module

NAMES = ("blend", "encoding", "kernel", "model")
"""The modules with classes that a model may consist of."""


def register() -> None:
    """Let this process find our classes by their earlier names, too. A package `daemon` of other makers stays what it is."""
    for name in NAMES:
        sys.modules[f"daemon.{name}"] = import_module(f"retraind.daemon.{name}")
