"""Estimators that do what no estimator should: for tests that name them by import path."""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.tree import DecisionTreeClassifier


class Odd(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fails in `fit`; how is said by the subclass. What it would answer does not matter."""

    def fit(self, X: Any, y: Any) -> Self:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 3), 1 / 3)


class Hangs(Odd):
    """Never comes back as long as the file exists that CRASHING_HANGS names."""

    def fit(self, X: Any, y: Any) -> Self:
        while Path(os.environ["CRASHING_HANGS"]).exists():
            time.sleep(0.1)
        return super().fit(X, y)


class Crashes(Odd):
    """Reads from address 0 in C: SIGSEGV."""

    def fit(self, X: Any, y: Any) -> Self:
        ctypes.string_at(0)
        return self


class Eats(Odd):
    """Takes memory until there is none."""

    def fit(self, X: Any, y: Any) -> Self:
        eaten = []
        while True:
            eaten.append(np.ones(8_000_000))


class Raises(Odd):
    """Raises an error of its own."""

    def fit(self, X: Any, y: Any) -> Self:
        raise ZeroDivisionError("somebody divided by zero")


class Leaves(Odd):
    """Ends the process without a word."""

    def fit(self, X: Any, y: Any) -> Self:
        os._exit(0)


class Exits(Odd):
    """Asks Python to end."""

    def fit(self, X: Any, y: Any) -> Self:
        sys.exit("enough")


class Own(DecisionTreeClassifier):  # type: ignore[misc]
    """A good tree of a class that no bundle may load and ONNX does not know."""


class Slow(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree whose fit takes as long as anybody waits, in steps of a millisecond."""

    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        while not Path("/nonexistent").exists():
            time.sleep(0.001)
        return super().fit(X, y, **more)
