"""MLflow itself: its database, runs, and registering a version; and the promoted versions that a new one is measured against.

`daemon/storage/model_versions.py` reads versions and aliases, `daemon/promotion/champion.py` moves aliases.
"""
