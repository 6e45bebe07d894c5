"""Treelite models: tree ensembles that none of our ONNX graphs reproduces, as treelite's bytes and as a function.

The only module that uses treelite. Bundles with such a model load it, and so does the export that tries it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def dumps(estimator: Any) -> bytes:
    """A fitted ensemble of scikit-learn, LightGBM or XGBoost as treelite's bytes; passes on errors of treelite.

    Those of scikit-learn and LightGBM are in double precision.
    """
    import treelite

    if hasattr(estimator, "booster_"):
        return bytes(treelite.frontend.from_lightgbm(estimator.booster_).serialize_bytes())
    if hasattr(estimator, "get_booster"):
        return bytes(treelite.frontend.from_xgboost(estimator.get_booster()).serialize_bytes())
    return bytes(treelite.sklearn.import_model(estimator).serialize_bytes())


def predictor(data: bytes, *, single: bool, classes: int) -> Callable[[Matrix], Matrix]:
    """Answers of such bytes: (n, d) to (n, classes) probabilities, or (n, 1) values for no classes.

    `single`: the trees read rows in single precision, as in scikit-learn except for histogram gradient boosting.
    """
    import treelite

    model = treelite.Model.deserialize_bytes(data)

    # Values near the largest double overflow; the caller checks the answers.
    @np.errstate(all="ignore")
    def run(rows: Matrix) -> Matrix:
        seen = rows.astype(np.float32).astype(np.float64) if single else np.ascontiguousarray(rows)
        # One thread, as for ONNX: workers must not fight the trainer for cores.
        margins = np.asarray(treelite.gtil.predict(model, seen, nthread=1), dtype=np.float64).reshape(len(rows), -1)
        # For two classes it returns only the probability of the second.
        return np.hstack([1.0 - margins, margins]) if classes == 2 and margins.shape[1] == 1 else margins

    return run
