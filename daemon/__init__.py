"""The daemon: watches the inbox, versions the data, trains, judges and points at the served model."""

import os

# ONNX Runtime reads this when it is first imported; without it, it would collect telemetry and write to the user's cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# pydantic reads this with its first model; without it, it would look for plugins in the metadata of every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
