"""Every setting with its unit, default and reason.

Precedence: flags, then RETRAIND_<SECTION>__<NAME> in the environment, then `retraind.toml`, then the default.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from daemon.core.errors import BadSettings
from daemon.core.scopes import Scope

PREFIX = "RETRAIND_"

PART = re.compile(r"[A-Za-z0-9._~-]+")
"""Part of a path that needs no escaping."""


class Section(BaseModel):
    """A table of `retraind.toml`; an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(Section):
    """Where and how the HTTP workers listen."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. The default, loopback, exposes nothing. Empty: listen on `unix_socket` only.",
    )
    port: int = Field(5000, ge=0, le=65535, description="TCP port. 0 takes a free one and prints it.")
    unix_socket: str = Field(
        "",
        description="Also listen on this Unix socket (mode 0660), relative to the home folder. Empty: none.",
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description="Number of HTTP worker processes. 0 means one per two cores, at least one, because training needs the others.",
    )
    auth: Literal["always", "beyond_loopback", "none"] = Field(
        "beyond_loopback",
        description="Who needs a token. `always`: every caller. `beyond_loopback`: every caller except programs that connect to a loopback address directly (with `public_url`, `trusted_proxies` or `root_path` set, those need one too). `none`: no caller.",
    )
    anonymous: list[Scope] = Field(
        default_factory=list,
        description='What callers without a token may do, such as `["predict"]`.',
    )
    public_url: str = Field(
        "",
        description="The address that browsers use through a proxy, such as `https://models.example.org`. It is accepted as Host, and as Origin of the pages.",
    )
    root_path: str = Field(
        "",
        description="Path prefix that a proxy adds, such as `/models/iris`. It works whether the proxy strips it or passes it on.",
    )
    trusted_proxies: list[str] = Field(
        default_factory=list,
        description="Proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted: addresses, networks, or `unix` for callers of `unix_socket`.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Additional Host names. Loopback names, `host` and the name in `public_url` are always allowed.",
    )
    max_body_bytes: int = Field(
        8_388_608, ge=1024, description="Maximum size (bytes) of a request body. Larger ones get 413."
    )
    body_seconds: float = Field(
        10.0, gt=0, description="Time limit (seconds) for receiving a request body. Slower ones get 408."
    )
    versions_loaded: int = Field(
        2,
        ge=0,
        le=100,
        description="Number of other versions that each worker keeps loaded for requests that name a version. 0: none.",
    )
    max_inflight: int = Field(
        64,
        ge=1,
        description="Concurrent large predictions per worker. The same limit applies separately to pages and to writes. Requests over it get 503 with Retry-After.",
    )
    request_seconds: float = Field(
        30.0,
        gt=0,
        description="Time limit (seconds) for a request. One that waits longer for its turn gets 503, one that runs longer gets 504.",
    )
    drain_seconds: float = Field(
        5.0, ge=0, description="Time (seconds) that requests in flight get to finish when the service stops."
    )

    @field_validator("auth", mode="before")
    @classmethod
    def _rename(cls, given: Any) -> Any:
        return "beyond_loopback" if given == "token" else given  # its name until 2026

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, given: str) -> str:
        url = urlsplit(given.rstrip("/"))
        if given and (url.scheme not in ("http", "https") or not url.hostname or url.path or url.query or url.username):
            raise ValueError("it must be http:// or https:// and a name, with a port where it is another than usual")
        return given.rstrip("/").lower()

    @field_validator("root_path")
    @classmethod
    def _is_path(cls, given: str) -> str:
        path = given.rstrip("/")
        parts = path.split("/")[1:]
        if path and not (path.startswith("/") and all(PART.fullmatch(part) and part.strip(".") for part in parts)):
            raise ValueError("it must begin with a slash; between slashes are letters, digits and any of . _ ~ -")
        return path

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, given: list[str]) -> list[str]:
        for proxy in given:
            if proxy != "unix":
                ipaddress.ip_network(proxy)
        return given

    @model_validator(mode="after")
    def _listens(self) -> "Server":
        if not self.host and not self.unix_socket:
            raise ValueError("an empty host needs unix_socket")
        return self


class Inbox(Section):
    """How drops are noticed and limited."""

    settle_seconds: float = Field(
        0.5,
        ge=0,
        description="A file counts as finished after this quiet time (seconds) with no process writing to it.",
    )
    scan_seconds: float = Field(
        5.0,
        gt=0,
        description="The folder is listed at least this often (seconds), because file system events can be lost.",
    )
    max_bytes: int = Field(
        1_073_741_824,
        gt=0,
        description="Maximum size (bytes) of a drop. Larger ones are rejected before they are read.",
    )
    max_inflated_bytes: int = Field(
        4_294_967_296,
        gt=0,
        description="Maximum size (bytes) of a .csv.gz after decompression. A file that grows beyond it is rejected.",
    )
    batch_drops: int = Field(2000, gt=0, description="Maximum number of drops in one batch.")
    batch_bytes: int = Field(
        67_108_864,
        gt=0,
        description="Maximum total size (bytes) of the drops in one batch. It bounds memory. The others wait for the next batch.",
    )
    bad_rows: Literal["quarantine", "reject_file"] = Field(
        "quarantine",
        description="`quarantine` takes the good rows and saves the bad ones in inbox/rejected/NAME.*.bad.csv. `reject_file` refuses the whole file.",
    )
    extra_columns: Literal["ignore", "reject", "add"] = Field(
        "reject",
        description="A column that the schema lacks: `ignore` it, `reject` the file, or `add` it to the schema.",
    )
    new_classes: Literal["accept", "quarantine"] = Field(
        "quarantine",
        description="A target value that is not a known class: `quarantine` the row (it is more often a typo), or `accept` it as a new class.",
    )
    new_categories: Literal["accept", "quarantine"] = Field(
        "accept",
        description="A category that the schema does not list: `accept` it into the schema, or `quarantine` the row.",
    )
    known_rows: Literal["count", "skip"] = Field(
        "count",
        description="Rows that the dataset already contains (all columns and the target): `count` them, or `skip` them.",
    )
    suspicious: Literal["accept", "hold"] = Field(
        "accept",
        description="A drop on which the served version does unusually badly: `accept` it and report it, or `hold` it until you decide.",
    )
    rejected_days: float = Field(
        90.0, ge=0, description="Age (days) at which files in inbox/rejected are removed. 0 keeps them."
    )


class Retrain(Section):
    """When a training starts."""

    threshold_rows: int = Field(50, ge=1, description="A training starts after this many new rows.")
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
        description="Minimum time (seconds) between trainings that drift or the live score start.",
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
    "linear",
    "ridge",
)
"""The candidates that come with retraind."""

EXTRA = ("lightgbm", "xgboost")
"""Those of the extra `retraind[boost]`: they compete where it is installed."""

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""How a candidate of somebody else is named: `sklearn.neighbors:KNeighborsClassifier`."""


class Train(Section):
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
    folds: int = Field(5, ge=2, le=20, description="Number of cross-validation folds for selecting a candidate.")
    seed: int = Field(42, ge=0, description="Seed of every split and estimator. Same rows, same model.")
    holdout: float = Field(
        0.2, gt=0, lt=0.9, description="Fraction of the rows that is never trained on, only used to judge."
    )
    group: str = Field(
        "",
        description="Column whose equal values stay together in holdout, folds and calibration, such as `customer_id`. It is a feature only if the schema lists it.",
    )
    time: str = Field(
        "",
        description="Column with the time of a row. The newest rows judge, older ones train, and folds go forward in time. It is a feature only if the schema lists it.",
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
    tune_seconds: float = Field(
        0.0,
        ge=0,
        description="Time (seconds) for searching better parameters of the best candidates, starting from the champion's. 0: off.",
    )
    timeout_seconds: float = Field(
        3600.0, gt=0, description="Time limit (seconds) for a whole training. After it the training is killed."
    )
    memory_bytes: int = Field(
        0, ge=0, description="Memory limit (bytes) of a training. 0: two thirds of the machine's memory."
    )
    idle_seconds: float = Field(
        300.0,
        ge=0,
        description="Time (seconds) without work after which the trainer process ends, to free its memory. It starts again when a training may be due. 0 keeps it.",
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
    def _name_candidates(cls, given: Any) -> Any:
        for name in given:
            if name not in (*CANDIDATES, *EXTRA) and not IMPORT_PATH.fullmatch(name):
                close = difflib.get_close_matches(name, [*CANDIDATES, *EXTRA], n=1, cutoff=0.4)
                meant = f" Did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"{name!r} is neither one of {', '.join(CANDIDATES)} nor package.module:Class.{meant}")
        return given

    @field_validator("grids")
    @classmethod
    def _fill_grids(cls, given: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
        for name, grid in given.items():
            for key, values in grid.items():
                if not values:
                    raise ValueError(f"{name}.{key} has no values to try")
        return given

    @property
    def beside(self) -> list[str]:
        """Columns that are kept beside the features."""
        return [name for name in (self.group, self.time) if name]


class Promote(Section):
    """When a challenger may replace the champion."""

    mode: Literal["auto", "manual"] = Field(
        "auto", description="`auto` serves a challenger that passes the gate. `manual` holds it for `retraind promote`."
    )
    shadow: bool = Field(
        True,
        description="A held challenger also predicts live requests. Its answers are only compared, never returned.",
    )
    canary_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="A held challenger answers this fraction (0-1) of the keys in `canary_header`. 0: none.",
    )
    canary_header: str = Field(
        "X-Routing-Key",
        pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        description="Requests with the same value of this header get the same version. Requests without it get the champion.",
    )
    tolerance: float = Field(
        0.02,
        ge=0,
        le=1,
        description="A challenger is refused if its score is below the champion's by more than this (0-1) beyond chance. See docs/judging.md.",
    )
    recall_tolerance: float = Field(
        0.1,
        ge=0,
        le=1,
        description="A challenger is refused if the recall of a class falls by more than this (0-1). One row is always allowed.",
    )
    floor: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Minimum holdout score. A version below it is not served. Measured by the metric that `train.metric` names, or by accuracy or R² for `auto` and where a lower value of the metric is better. 0: none.",
    )
    baseline_versions: int = Field(
        20,
        ge=0,
        description="Number of promoted versions among which the baseline is chosen. Without a baseline many small losses could add up. 0: no baseline.",
    )
    follow_days: int = Field(
        3,
        ge=0,
        le=100,
        description="Number of days whose drops must all contradict the first drop before that drop no longer judges. 0: never. See docs/judging.md.",
    )
    live_rows: int = Field(
        50, ge=0, description="Late labels that a new champion needs before they can roll it back. 0: never."
    )
    live_until: int = Field(
        1000,
        ge=1,
        validate_default=True,
        description="A new champion's trial ends after this many late labels. A later fall counts as drift.",
    )
    keep_versions: int = Field(
        20,
        ge=0,
        description="Number of newest versions whose model files are kept, besides those in use. 0: all. Data is always kept.",
    )

    @field_validator("live_until")
    @classmethod
    def _leave_time_for_a_trial(cls, given: int, others: ValidationInfo) -> int:
        least = others.data.get("live_rows", 0)
        if given < least:
            raise ValueError(
                f"it is less than live_rows = {least}, so no version would ever be rolled back for its late labels; "
                "raise it, or set live_rows = 0 if that is meant"
            )
        return given


class Drift(Section):
    """When recent predictions count as different from the rows that taught the model."""

    check_seconds: float = Field(
        60.0,
        ge=0,
        description="Minimum time (seconds) between two drift checks. A check needs new predictions. 0: never.",
    )
    window_rows: int = Field(
        1000,
        ge=50,
        le=100_000,
        description="Number of the served version's newest predictions that are compared with its training rows.",
    )
    min_rows: int = Field(50, ge=10, description="Below this many predictions or training rows, drift is not assessed.")
    p_value: float = Field(
        0.05, gt=0, lt=1, description="Allowed share of false alarms among drifted features (Benjamini-Hochberg)."
    )
    distance: float = Field(
        0.1,
        gt=0,
        description="With more than 1,000 reference rows a feature counts as drifted only if it also moved this far (Wasserstein in standard deviations, Jensen-Shannon for categories).",
    )
    share: float = Field(0.5, gt=0, le=1, description="Fraction (0-1) of drifted features that raises an alarm.")
    important: float = Field(
        0.05,
        ge=0,
        le=1,
        description="A single drifted feature raises an alarm if it has this share (0-1) of the importance, or the largest.",
    )


class Predictions(Section):
    """The prediction log and its history."""

    durability: Literal["relaxed", "strict"] = Field(
        "relaxed",
        description="What a power cut may cost: with `relaxed` the last second of the log, with `strict` (fsync before the answer) nothing.",
    )
    rotate_bytes: int = Field(67_108_864, gt=0, description="Size (bytes) at which a log file is closed.")
    rotate_seconds: float = Field(3600.0, gt=0, description="Age (seconds) at which a log file is closed.")
    keep_rows: int = Field(
        1_000_000,
        ge=0,
        description="Maximum number of predictions in the history. Beyond it, the oldest predictions of the caller with the most are removed first.",
    )
    keep_days: float = Field(
        0.0, ge=0, description="Age (days) at which predictions are removed from the history. 0 keeps them."
    )


class Journal(Section):
    """What the journal remembers beside the facts."""

    keep_events: int = Field(
        100_000,
        ge=1000,
        description="Number of events kept: this many of the kinds that come with every drop or request, and as many of all others.",
    )


class Log(Section):
    """The program's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is written."
    )
    format: Literal["auto", "text", "json"] = Field("auto", description="`auto` is text on a terminal, JSON elsewhere.")


class Settings(BaseSettings):
    """All settings of one home, validated and frozen."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True
    )

    # First: in TOML, a key that stands below a table would belong to that table.
    bootstrap: Literal["iris", "none"] = Field(
        "iris",
        description="What an empty home without a schema starts with. `iris`: the Iris data, so that /predict works at once.",
    )
    server: Server = Server()
    inbox: Inbox = Inbox()
    retrain: Retrain = Retrain()
    train: Train = Train()
    promote: Promote = Promote()
    drift: Drift = Drift()
    predictions: Predictions = Predictions()
    journal: Journal = Journal()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags (init arguments) over the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(file: Path, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read `file` (may be absent), the environment and `flags`; raises BadSettings naming the key and the nearest one."""
    _check_environment()

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        return FromFile(**(flags or {}))
    except ValidationError as error:
        raise BadSettings("\n".join(_explain(error, file, flags or {}))) from None
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{file}: not valid TOML: {error}.", hint="Mend the line it names.") from None


def entries(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every setting as (dotted key, description, default), in order."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from entries(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or "", field.get_default(call_default_factory=True)


def _explain(error: ValidationError, file: Path, flags: Mapping[str, Any]) -> Iterator[str]:
    known = [key for key, _, _ in entries()] + list(Settings.model_fields)
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield f"{file.name}: there is no setting {key!r}.{_nearest(key, known)}"
        else:
            yield f"{_source(problem['loc'], file, flags)}: {key} = {problem['input']!r}: {problem['msg']}."


def _source(loc: tuple[int | str, ...], file: Path, flags: Mapping[str, Any]) -> str:
    """Where the value at `loc` was read: the place that a person has to mend."""
    found: Any = flags
    for part in loc:
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is not None:
        return f"--{loc[-1]}"
    # A problem may lie within a value: train.candidates.0.
    names = [PREFIX + "__".join(map(str, loc[:end])).upper() for end in range(1, len(loc) + 1)]
    return next((name for name in names if os.environ.get(name)), file.name)


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f" Did you mean {close[0]!r}?" if close else " docs/settings.md lists all of them."


def _check_environment() -> None:
    """Refuse RETRAIND_… variables that name no setting: pydantic-settings would ignore a misspelt section."""
    known = {PREFIX + key.upper().replace(".", "__"): key for key, _, _ in entries()}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known and name != "RETRAIND_HOME":
            raise BadSettings(f"environment: there is no setting {name!r}.{_nearest(name, list(known))}")
