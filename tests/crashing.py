"""Estimators that do what no estimator should: for tests that name them by import path."""

import contextlib
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
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


class Nonsense(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Says that every number is none."""

    def fit(self, X: Any, y: Any) -> Self:
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), np.nan)


class Own(Odd):
    """A good classifier that ONNX does not know and no bundle may load: it looks how far the means of the classes are."""

    def fit(self, X: Any, y: Any) -> Self:
        self.classes_ = np.unique(y)
        self.means_ = np.array([np.mean(X[y == code], axis=0) for code in self.classes_])
        return self

    def predict_proba(self, X: Any) -> Any:
        near = np.exp(-np.linalg.norm(np.asarray(X)[:, None] - self.means_, axis=2))
        return near / near.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Grown(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree under another name: ONNX can say what it does, though no bundle may load it."""


class Slow(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree whose fit never ends, in steps of a millisecond."""

    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        while not Path("/nonexistent").exists():
            time.sleep(0.001)
        return super().fit(X, y, **more)


class PerRow(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree whose fit takes five milliseconds for each row."""

    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        time.sleep(0.005 * len(X))
        return super().fit(X, y, **more)


class Held(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree whose fit waits while there is a file `hold` in the folder that CRASHING_HELD names; it leaves one with its process id."""

    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        hold = Path(os.environ.get("CRASHING_HELD", "/nonexistent")) / "hold"
        if hold.exists():
            hold.with_name(str(os.getpid())).touch()
        while hold.exists():
            time.sleep(0.02)
        return super().fit(X, y, **more)


class Deaf(Slow):
    """As slow, and does not hear the first time."""

    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        with contextlib.suppress(BaseException):
            super().fit(X, y, **more)
        return super().fit(X, y, **more)
