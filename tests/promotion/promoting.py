"""Versions that are registered, judged and served as the loop does it; a test module makes a fixture of `parts`."""

from typing import Any

import bundles
from scoring import scores

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import Manifest
from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.promotion.promotion import Promotion
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import NAME, ModelVersions
from retraind.daemon.stored.bundles import StoredBundles


class Parts:
    """A home with registry and journal, whose versions are small real bundles."""

    def __init__(self, home: Home, journal: Journal, store: ObjectStore | None = None) -> None:
        self.home, self.journal = home, journal
        self.registry = Registry(home)
        self.registry.open()
        self.models, self.store = ModelVersions(home), store
        self.restart()

    def restart(self, **settings: Any) -> None:
        stored = StoredBundles(self.home, self.store)
        self.promotion = Promotion(self.home, Promote(**settings), self.journal, self.models, stored)

    def train(
        self, new: int = 95, old: int | None = None, champion: int | None = None, favourite: int = 0, **changes: str
    ) -> int:
        """What the trainer leaves behind: a sealed bundle in staging, and a version that names its sha256.

        The model answers nearly always with its favourite class.
        """
        run = self.registry.start_run("training", {})
        bundles.make(self.home, 999, favourite)
        made = self.home.bundle(999)
        manifest = Manifest.model_validate_json((made / bundle.MANIFEST).read_bytes())
        figures = scores(new, old) | {"champion_version": champion}
        sealed = bundle.seal(made, manifest.model_copy(update={"run": run, "scores": figures, **changes}))
        made.rename(self.home.staging(run))
        return self.register(run, sealed)

    def register(self, run: str, sealed: str) -> int:
        """A version without an MLflow model, which takes a second to log."""
        labels = {"retraind.bundle": sealed}
        return int(self.registry.client.create_model_version(NAME, "file:///nowhere", run, labels).version)

    def settle(self) -> None:
        """Do what there is to do."""
        for _ in range(50):
            promotion = self.promotion
            if not (promotion.answer() or promotion.adopt() or promotion.judge() or promotion.watch()):
                return
        raise AssertionError("promotion never comes to rest")

    def champion(self, new: int = 95, favourite: int = 0) -> int:
        """Train, judge and serve a version that beats whatever is served."""
        served = self.served
        version = self.train(new, None if served is None else new, served, favourite)
        self.settle()
        assert self.served == version
        return version

    def ask(self, kind: requests.Kind, version: int | None = None) -> tuple[str, str]:
        """Make a request and have it answered: state and detail."""
        request = requests.submit(self.home, kind, version=version)
        self.settle()
        rows = [row for row in self.requests() if row["id"] == request.id]
        assert requests.pending(self.home) == []
        return rows[0]["state"], rows[0]["detail"]

    def requests(self) -> list[Any]:
        from sqlalchemy import select

        from retraind.daemon.storage.journal_tables import requests as table

        return list(self.journal.database.rows(select(table)))

    @property
    def served(self) -> int | None:
        pointer = bundle.read_pointer(self.home.pointer)
        return None if pointer is None else pointer.version

    def alias(self, name: str) -> int | None:
        return self.models.alias(name)

    def described(self, version: int) -> str:
        return self.registry.client.get_model_version(NAME, str(version)).description or ""

    def state(self, version: int) -> str | None:
        version_row = self.journal.versions.get(version)
        return None if version_row is None else str(version_row["state"])


def parts(mlflow_home: Home, journal: Journal) -> Parts:
    return Parts(mlflow_home, journal)
