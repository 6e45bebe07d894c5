"""The daemon: watches the inbox, versions the data, trains and judges models, and decides which one is served."""

import os
import sys
from types import ModuleType

if __name__ != "retraind.daemon":  # otherwise every class would exist twice
    raise ImportError(
        "Import retraind.daemon: in a checkout of retraind, the folder daemon/ is a part of the package retraind."
    )

# ONNX Runtime reads this when it is first imported; without it, it would collect telemetry and write to the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# pydantic reads this when its first model is defined; without it, it would look for plugins in the metadata of every
# installed package.
if os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__") == "__all__":
    # Even without plugins, the module that looks for them imports importlib.metadata and email, 10 ms of each process.
    _loader = ModuleType("pydantic.plugin._loader")
    vars(_loader)["get_plugins"] = tuple
    sys.modules.setdefault(_loader.__name__, _loader)
