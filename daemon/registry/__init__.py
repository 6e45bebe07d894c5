"""MLflow itself: its database, runs, and registering a version; and the promoted versions to compare a new one with.

`daemon/storage/model_versions.py` reads versions and aliases, `daemon/promotion/champion.py` moves aliases.
"""
