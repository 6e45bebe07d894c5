"""Artifact files: a training writes MLflow's files into the home, also if MLflow's database names the object store.

So a training needs no store, and no swap waits for it. A thread of the daemon puts the files there
(`daemon/service/artifact_copies.py`), where MLflow's pages and `mlflow.pyfunc.load_model` find them.
"""

import importlib
from typing import Any

from retraind.daemon.core.home import Home


def keep_in_home(home: Home, root: str) -> None:
    """Let MLflow in this process read and write what is named below `root` (`s3://…`) in the home's folder."""
    local: Any = importlib.import_module("mlflow.store.artifact.local_artifact_repo").LocalArtifactRepository
    registry: Any = importlib.import_module("mlflow.store.artifact.artifact_repository_registry")
    known = registry._artifact_repository_registry
    other = known._registry["s3"]

    def repository(artifact_uri: str, *rest: Any, **named: Any) -> Any:
        if not artifact_uri.startswith(f"{root}/"):
            return other(artifact_uri, *rest, **named)
        folder = home.artifacts.absolute() / artifact_uri.removeprefix(f"{root}/")
        return local(folder.as_uri(), *rest, **named)

    known.register("s3", repository)
