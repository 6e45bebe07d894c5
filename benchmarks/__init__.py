"""Measurements of the real service; docs/benchmarks.md says what each one means."""

import os

# Whoever sets this wants clean folders; a service that compiles each module in each process is not what users run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
