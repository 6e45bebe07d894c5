"""Models in MLflow: runs, versions and aliases, and the promoted versions that a new one is measured by."""
