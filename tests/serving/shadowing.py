"""A home with a champion and a held version; a test module makes a fixture of `home`."""

import json
from contextlib import closing
from pathlib import Path

import bundles
from sites import Client

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote, Settings
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.web.serving.predictor import Predictor

MANUAL = Settings(promote=Promote(mode="manual"))


ROWS = [bundles.SETOSA, [6.0, 2.9, 4.5, 1.5], [6.9, 3.1, 5.4, 2.1]]


def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    with closing(Journal.open(home.journal)) as journal:
        journal.swaps.record(1, None, "For a test.")
    return home


def hold(home: Home, version: int = 2, favourite: int = 0) -> None:
    bundles.record(home, bundles.make(home, version, favourite), "held")


def loaded(home: Home, version: int, favourite: int = 0) -> Predictor:
    pointer = bundles.make(home, version, favourite)
    return Predictor(version, bundle.load(home.bundle(version), pointer.manifest))


def tried(home: Home, settings: Settings = MANUAL) -> Client:
    """A worker whose challenger is loaded."""
    client = Client(home, settings)
    client.worker.challenger.look()
    return client


def predict(client: Client, rows: int = 1) -> None:
    body = json.dumps({"instances": [bundles.SETOSA] * rows}).encode()
    assert client.ask("POST", "/predict", body)[0] == 200


def copied(home: Home) -> None:
    with closing(HistoryCopier(home, MANUAL)) as history_copier:
        history_copier.copy()
        history_copier.copy()
