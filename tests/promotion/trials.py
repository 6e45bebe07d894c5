"""A champion on trial and its late labels; a test module makes fixtures of `parts` and `live`."""

from typing import Any

import bundles
from promoting import Parts
from test_late_labels import predicted

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.storage.journal import Journal

SETOSA, VERSICOLOR = 0, 1


def parts(mlflow_home: Home, journal: Journal) -> Parts:
    return Parts(mlflow_home, journal)


class Live:
    """Labelled predictions, one drop after the other."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._told, self._drops = parts, 0, 0

    def label(self, right: int, wrong: int, version: int | None = None, *, logged: bool = True) -> None:
        """So many predictions of a version (the served one) turn out right or wrong; `logged`: the history has them.

        The true class is setosa in all of them.
        """
        served = version or self._parts.served
        assert served is not None
        answers = [("setosa", "setosa")] * right + [("setosa", "versicolor")] * wrong
        self.answered(answers, served, logged=logged)

    def answered(self, answers: list[tuple[str, str]], served: int, *, logged: bool = True) -> None:
        """Predictions of a version, each with the truth that came for it and what it had answered."""
        names = [name for _, name in answers]
        ids = [f"p{self._told + index}" for index in range(len(names))]
        self._told += len(names)
        if logged:
            common = {"features": bundles.SETOSA, "model_version": served, "prediction": 0}
            predicted(
                self._parts.home,
                *(
                    {**common, "prediction_id": prediction, "prediction_name": name}
                    for prediction, name in zip(ids, names, strict=True)
                ),
            )
        live = [{"prediction_id": one, "prediction": name} for one, name in zip(ids, names, strict=True)]
        truths = [truth for truth, _ in answers]
        self._accept([{**one, "version": served, "truth": truth} for one, truth in zip(live, truths, strict=True)])

    def _accept(self, records: list[Any]) -> None:
        self._drops += 1
        sha256 = durable.sha256(b"%d" % self._drops)
        drop: Any = {"sha256": sha256, "name": "labels.csv", "source": "label", "bytes": 6, "settled_at": "now"}
        batch: Any = {
            "segment": f"{sha256}.parquet",
            "sha256": sha256,
            "md5": "0" * 32,
            "rows": len(records),
            "bytes": 1,
        }
        seq = self._parts.journal.batches.accept(batch, [drop], [record | {"drop": sha256} for record in records])
        self._parts.journal.batches.commit(seq, "a" * 40, "b" * 32)


def live(parts: Parts) -> Live:
    return Live(parts)
