"""Settings of a training and of when one starts: `train` and `retrain`."""

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from retraind.daemon.core.settings.scheduler import Scheduled
from retraind.daemon.core.settings.section import Section


class Retrain(Section):
    """When a training starts."""

    threshold_rows: int = Field(
        50,
        ge=0,
        description="A training starts after this many new rows. 0: new rows alone start none, except the first training.",
    )
    growth: float = Field(
        0.1,
        ge=0,
        description="Also wait until the data has grown by this fraction since the last training. This keeps the total cost of training proportional to the data. 0 disables it.",
    )
    drift: bool = Field(True, description="Drift also starts a training, if there are new rows.")
    live: bool = Field(
        True,
        description="A live score (by late labels) that falls below what the gate allows also starts a training, if there are new rows.",
    )
    alarm_seconds: float = Field(
        3600.0,
        ge=0,
        description="Minimum time (seconds) between two trainings that an alarm (drift or the live score) starts.",
    )
    schedule: str = Field(
        "0 3 * * *",
        description="Cron expression or interval (`30m`, `6h`, `1d`), in UTC. It trains only if there are new rows. Empty: never.",
    )
    cooldown_seconds: float = Field(
        10.0,
        ge=0,
        description="Minimum time (seconds) between the starts of two trainings.",
    )


CANDIDATES = (
    "logistic",
    "forest",
    "tree",
    "least_squares",
    "boosting",
    "shallow_boosting",
    "extra_trees",
    "kernel",
    "linear",
    "ridge",
)
"""The candidates that come with retraind."""


EXTRA = ("lightgbm", "xgboost")
"""Those of the extra `retraind[boost]`: they compete where it is installed."""


IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""Name of a candidate from another package: `sklearn.neighbors:KNeighborsClassifier`."""


class Train(Scheduled):
    """How candidates are fitted."""

    candidates: list[str] = Field(
        default=list(CANDIDATES),
        min_length=1,
        description="Estimators that compete, see docs/training.md. Those that can't do the schema's task are left out.",
    )
    grids: dict[str, dict[str, list[Any]]] = Field(
        default_factory=dict,
        description="Parameter values to try, by candidate. Each combination competes.",
    )
    metric: Literal["auto", "accuracy", "balanced_accuracy", "log_loss", "roc_auc", "r2", "rmse", "mae"] = Field(
        "auto",
        description="The metric that selects and judges. `auto` is the cost if `train.costs` is set, R² for regression, balanced accuracy if one class has 80 % of the rows, and otherwise accuracy.",
    )
    costs: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = Field(
        default_factory=dict,
        description="Cost of a mistake by true and predicted class (`bad.good=5`), used to select, to judge and to decide. Mistakes that are not listed cost 1. See docs/judging.md.",
    )
    class_weight: Literal["none", "balanced"] = Field(
        "none",
        description="`balanced` gives rare classes the same weight as common ones, in candidates that support it.",
    )
    calibrate: bool = Field(
        True,
        description="Correct the winner's probabilities if that lowers its cross-validated log loss by at least 1 %. Never done if the time budget cut its folds.",
    )
    refit: bool = Field(
        True,
        description="Fit the winner once more on all rows, held-out ones too, and serve that. The version's score is that of the judged model, which was fitted without the held-out rows. `false` serves the judged model, and so does `train.time`: there the newest rows judge, and no other rows could judge a model fitted on them.",
    )
    folds: int = Field(5, ge=2, le=20, description="Number of cross-validation folds for selecting a candidate.")
    seed: int = Field(42, ge=0, description="Seed of every split and estimator. Same rows, same model.")
    holdout: float = Field(
        0.2,
        gt=0,
        lt=0.9,
        description="Fraction of the rows that only judges. With `train.refit` (and without `train.time`) the served model trains on them after that.",
    )
    group: str = Field(
        "",
        description="Column whose equal values stay together in holdout, folds and calibration, such as `customer_id`. It is a feature only if the schema lists it.",
    )
    time: str = Field(
        "",
        description="Column with the time of a row. The newest rows judge, older ones train, and folds go forward in time. The judged model is served as it is, without `train.refit`. It is a feature only if the schema lists it.",
    )
    window_rows: int = Field(
        0,
        ge=0,
        description="Train and judge on this many of the newest rows only. 0: all. The reference holdout stays.",
    )
    window_days: float = Field(
        0.0,
        ge=0,
        description="Train and judge only on rows accepted within this many days before the newest one. 0: all. The reference holdout stays.",
    )
    budget_seconds: float = Field(
        900.0,
        ge=0,
        description="Time limit (seconds) for comparing candidates. Unfinished ones are left out. 0: no limit.",
    )
    compare_rows: int = Field(
        0,
        ge=0,
        description="Compare and tune the candidates on a sample of about this many training rows. The winner is fitted on all. 0: compare on all.",
    )
    tune_seconds: float = Field(
        0.0,
        ge=0,
        description="Time (seconds) for searching better parameters of the best candidates, starting from the champion's. 0: off.",
    )
    blend: bool = Field(
        True,
        description="With `train.tune_seconds`, also try the mean of the best candidates' answers. It wins only if it is better than each of them. Its predictions take as long as those of its members together.",
    )
    timeout_seconds: float = Field(
        3600.0, gt=0, description="Time limit (seconds) for a whole training. After it the training is killed."
    )
    memory_bytes: int = Field(
        0,
        ge=0,
        description="Memory (bytes) that a training may take. 0: two thirds of the machine's memory, or of the least limit of the container or unit. If not all rows fit, LightGBM reads them piece by piece, or only the newest ones train (docs/training.md).",
    )
    idle_seconds: float = Field(
        300.0,
        ge=0,
        description="Time (seconds) without work after which the trainer process ends, to free its memory. It starts again when a training may be due. 0 keeps it.",
    )
    jobs: int = Field(
        1,
        ge=0,
        description="Number of processes that fit candidates at the same time. 0: as many as there are cores (one less if `train.nice` is below 10, or if a container has a quota), and as the memory limit leaves room for. Scores and models do not depend on it. Up to a million cells (rows times columns) there are at least two.",
    )
    nice: int = Field(10, ge=0, le=19, description="Niceness of the trainer, so that predictions come first.")
    report_rows: int = Field(
        5000,
        ge=0,
        description="With at most this many rows, textbook figures (fixed split, 10-fold) are logged as well.",
    )

    @model_validator(mode="after")
    def _leave_time_to_fit(self) -> "Train":
        if self.tune_seconds and self.budget_seconds + self.tune_seconds >= self.timeout_seconds:
            raise ValueError(
                f"budget_seconds = {self.budget_seconds:g} and tune_seconds = {self.tune_seconds:g} leave no time to fit "
                f"within timeout_seconds = {self.timeout_seconds:g}; lower one of the two or raise the last"
            )
        return self

    @field_validator("candidates", "grids")
    @classmethod
    def _name_candidates(cls, value: Any) -> Any:
        for name in value:
            if name not in (*CANDIDATES, *EXTRA) and not IMPORT_PATH.fullmatch(name):
                close = difflib.get_close_matches(name, [*CANDIDATES, *EXTRA], n=1, cutoff=0.4)
                meant = f" Did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"{name!r} is neither one of {', '.join(CANDIDATES)} nor package.module:Class.{meant}")
        return value

    @field_validator("grids")
    @classmethod
    def _fill_grids(cls, grids: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
        for name, grid in grids.items():
            for key, values in grid.items():
                if not values:
                    raise ValueError(f"{name}.{key} has no values to try")
        return grids

    @property
    def side_columns(self) -> list[str]:
        """Columns that are kept next to the features."""
        return [name for name in (self.group, self.time) if name]
