"""Every setting with its unit, default and reason.

Level 0. Precedence: flags, then RETRAIND_<SECTION>__<NAME> in the environment, then `retraind.toml`, then the default.
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

from daemon.errors import BadSettings
from daemon.scopes import Scope

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
        description="Address to listen on. Loopback by default: nothing is exposed unasked. Empty is none, for `unix_socket` alone.",
    )
    port: int = Field(5000, ge=0, le=65535, description="TCP port; 0 takes a free one and prints it.")
    unix_socket: str = Field(
        "",
        description="Unix socket to listen at, too (mode 0660); relative to the home folder; empty is none.",
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description="HTTP worker processes; 0 is one per two cores, at least one: training needs the rest.",
    )
    auth: Literal["always", "beyond_loopback", "none"] = Field(
        "beyond_loopback",
        description="Who needs a token: everybody, all but programs that reach a loopback address themselves (with `public_url`, `trusted_proxies` or `root_path` those too), or nobody at all.",
    )
    anonymous: list[Scope] = Field(
        default_factory=list,
        description='What callers without a token may do all the same, such as `["predict"]`.',
    )
    public_url: str = Field(
        "",
        description="How browsers reach it through a proxy, such as `https://models.example.org`: a further Host name, and the Origin of its pages.",
    )
    root_path: str = Field(
        "",
        description="What a proxy puts before every path, such as `/models/iris`, whether it passes that on or not.",
    )
    trusted_proxies: list[str] = Field(
        default_factory=list,
        description="Proxies whose X-Forwarded-For and -Proto are believed: addresses, networks, `unix` for who comes by `unix_socket`.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Further Host names that browsers may use; loopback names, `host` and that of `public_url` always may.",
    )
    max_body_bytes: int = Field(8_388_608, ge=1024, description="Larger request bodies (bytes) are refused with 413.")
    body_seconds: float = Field(
        10.0, gt=0, description="A request body that takes longer (seconds) is given up with 408."
    )
    versions_loaded: int = Field(
        2,
        ge=0,
        le=100,
        description="Other versions that a worker keeps in memory because requests name them; 0 is none.",
    )
    max_inflight: int = Field(
        64,
        ge=1,
        description="Large predictions that a worker holds at once, and as many pages, and as many writes; more get 503 and Retry-After.",
    )
    request_seconds: float = Field(
        30.0,
        gt=0,
        description="What waits so long (seconds) for its turn is given up with 503, what takes so long with 504.",
    )
    drain_seconds: float = Field(
        5.0, ge=0, description="On stop, requests in flight get this long (seconds) to finish."
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
        5.0, gt=0, description="The folder is listed at least this often (seconds): events are only hints."
    )
    max_bytes: int = Field(1_073_741_824, gt=0, description="Larger drops (bytes) are rejected before they are read.")
    max_inflated_bytes: int = Field(
        4_294_967_296, gt=0, description="A .csv.gz that grows beyond this (bytes) is rejected: it may be a bomb."
    )
    batch_drops: int = Field(2000, gt=0, description="At most this many drops become one batch.")
    batch_bytes: int = Field(
        67_108_864, gt=0, description="Drops beyond this sum (bytes) wait for the next batch, to bound memory."
    )
    bad_rows: Literal["quarantine", "reject_file"] = Field(
        "quarantine",
        description="`quarantine` takes the good rows and keeps the bad ones in inbox/rejected/NAME.*.bad.csv.",
    )
    extra_columns: Literal["ignore", "reject", "add"] = Field(
        "reject",
        description="A column that the schema lacks: leave it out, reject the drop, or add it to the schema.",
    )
    new_classes: Literal["accept", "quarantine"] = Field(
        "quarantine", description="A target that is no class yet: a new class, or (more often) a misspelt one."
    )
    new_categories: Literal["accept", "quarantine"] = Field(
        "accept", description="A category that the schema does not list: add it, or put the row into quarantine."
    )
    known_rows: Literal["count", "skip"] = Field(
        "count",
        description="Rows that the dataset has already (all columns and the target): only count them, or don't take them again.",
    )
    suspicious: Literal["accept", "hold"] = Field(
        "accept",
        description="A drop whose exam is unusual: take it and say so, or hold it until a person decides.",
    )
    rejected_days: float = Field(
        90.0, ge=0, description="Files in inbox/rejected older than this (days) are removed; 0 keeps them for ever."
    )


class Retrain(Section):
    """When a training starts."""

    threshold_rows: int = Field(50, ge=1, description="Accepted rows since the last training that start the next one.")
    growth: float = Field(
        0.1,
        ge=0,
        description="And this share of the rows it saw: all trainings together then cost 11 times the last one, not its square; 0 is off.",
    )
    drift: bool = Field(True, description="Drift starts a training, too, as soon as there are new rows.")
    live: bool = Field(
        True, description="So does a live score (late labels) that has fallen below what the gate allows."
    )
    alarm_seconds: float = Field(
        3600.0,
        ge=0,
        description="Least time (seconds) between trainings that drift or the live score start: new rows may not help.",
    )
    schedule: str = Field(
        "0 3 * * *",
        description="Cron text or interval (`30m`, `6h`, `1d`), UTC; trains only if there are new rows; empty is never.",
    )
    cooldown_seconds: float = Field(
        10.0,
        ge=0,
        description="Least time (seconds) between the starts of two trainings: a failing fit is no hot loop.",
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
        description="Candidate estimators, see docs/architecture.md; those that can't do the schema's task are left out.",
    )
    grids: dict[str, dict[str, list[Any]]] = Field(
        default_factory=dict,
        description="By candidate, values to try of its parameters: each combination competes. None by default: time.",
    )
    metric: Literal["auto", "accuracy", "balanced_accuracy", "log_loss", "roc_auc", "r2", "rmse", "mae"] = Field(
        "auto",
        description="What chooses and judges; `auto` is `train.costs`, else accuracy or R², balanced accuracy where a class has 80 % of the rows.",
    )
    costs: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = Field(
        default_factory=dict,
        description="By true and answered class, what that costs (`bad.good=5`): it chooses, judges and decides; right is 0, wrong 1 else. See docs/judging.md.",
    )
    class_weight: Literal["none", "balanced"] = Field(
        "none", description="`balanced` makes rare classes count as much as common ones, where the candidate can."
    )
    calibrate: bool = Field(
        True,
        description="Correct the winner's probabilities if that lowers its cross-validated log loss by 1 %; never if the budget cut its folds.",
    )
    folds: int = Field(5, ge=2, le=20, description="Cross-validation folds that choose among candidates.")
    seed: int = Field(42, ge=0, description="Seed of every split and estimator: same rows, same model.")
    holdout: float = Field(0.2, gt=0, lt=0.9, description="Share of rows that are never trained on, only judged on.")
    group: str = Field(
        "",
        description="Column whose equal values keep rows on one side (holdout, folds, calibration); no feature unless the schema lists it.",
    )
    time: str = Field(
        "",
        description="Column with a row's time: the newest rows judge, older ones train, folds go forward; no feature unless the schema lists it.",
    )
    window_rows: int = Field(
        0, ge=0, description="Only so many of the newest rows teach and judge; 0 is all. The reference holdout stays."
    )
    window_days: float = Field(
        0.0, ge=0, description="Only rows accepted within so many days before the newest one; 0 is all, as above."
    )
    budget_seconds: float = Field(
        900.0,
        ge=0,
        description="When comparing has taken this long (seconds), who has not finished is left out; 0 is no limit.",
    )
    tune_seconds: float = Field(
        0.0,
        ge=0,
        description="So long (seconds) other parameters of the best candidates are tried, from the champion's on; 0 is off.",
    )
    timeout_seconds: float = Field(3600.0, gt=0, description="A training that takes longer (seconds) is killed.")
    memory_bytes: int = Field(
        0, ge=0, description="A training may take this much memory (bytes); 0 is two thirds of the machine's."
    )
    nice: int = Field(10, ge=0, le=19, description="Niceness of the trainer, so that predictions come first.")
    report_rows: int = Field(
        5000, ge=0, description="Up to this many rows the textbook figures (fixed split, 10-fold) are logged as well."
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
        "auto", description="`manual` holds a good challenger for `retraind promote`."
    )
    shadow: bool = Field(
        True, description="A held challenger answers the same requests unseen, so that one knows how far it agrees."
    )
    canary_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="A held challenger answers this share (0-1) of the keys in `canary_header`; 0 is none.",
    )
    canary_header: str = Field(
        "X-Routing-Key",
        pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        description="Requests with the same value of this header get the same version; without it, the champion.",
    )
    tolerance: float = Field(
        0.02,
        ge=0,
        le=1,
        description="A challenger that surely scores more than this (0-1) below the champion is refused; see docs/judging.md.",
    )
    recall_tolerance: float = Field(
        0.1, ge=0, le=1, description="No class's recall may fall by more than this (0-1); one row is always allowed."
    )
    floor: float = Field(
        0.0,
        ge=0,
        le=1,
        description="No version with a holdout score below this is served: by `train.metric`, or accuracy or R² where less of that is better; 0 is no floor.",
    )
    baseline_versions: int = Field(
        20,
        ge=0,
        description="One of so many promoted versions is the mark, the first or a surely better one: small falls must not add up.",
    )
    follow_days: int = Field(
        3,
        ge=0,
        le=100,
        description="Days whose drops all say that the world has changed before the first drop judges no more; 0 never. See docs/judging.md.",
    )
    live_rows: int = Field(
        50, ge=0, description="Late labels that a new champion needs before it may be rolled back for them; 0 never."
    )
    live_until: int = Field(
        1000,
        ge=1,
        validate_default=True,
        description="A champion that got over so many late labels is on trial no more; what falls later is drift.",
    )
    keep_versions: int = Field(
        20,
        ge=0,
        description="Model files of the newest versions that stay, besides those in use; 0 keeps all. Data always stays.",
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
        description="Least time (seconds) between two checks, made when there are new predictions; 0 is never.",
    )
    window_rows: int = Field(
        1000, ge=50, le=100_000, description="The newest predictions of the served version that are compared."
    )
    min_rows: int = Field(
        50, ge=10, description="With fewer predictions, or fewer rows that taught, nothing is said: that is no drift."
    )
    p_value: float = Field(
        0.05, gt=0, lt=1, description="Share of false finds allowed among the drifted features (Benjamini-Hochberg)."
    )
    distance: float = Field(
        0.1,
        gt=0,
        description="Above 1,000 reference rows a feature has also to be this far away (Wasserstein by std, Jensen-Shannon).",
    )
    share: float = Field(0.5, gt=0, le=1, description="Such a share of drifted features (0-1) raises an alarm.")
    important: float = Field(
        0.05,
        ge=0,
        le=1,
        description="So does a single one with this share of the importance (0-1), or with the largest.",
    )


class Predictions(Section):
    """The prediction log and its history."""

    durability: Literal["relaxed", "strict"] = Field(
        "relaxed",
        description="What a power cut may cost: `relaxed` the last second of the log, `strict` (fsync before the answer) nothing.",
    )
    rotate_bytes: int = Field(67_108_864, gt=0, description="A log file is closed at this size (bytes).")
    rotate_seconds: float = Field(
        3600.0, gt=0, description="And at this age (seconds), so that it can go even if little is asked."
    )
    keep_rows: int = Field(
        1_000_000,
        ge=0,
        description="Predictions kept in the history; beyond them, the oldest of the caller with the most go first.",
    )
    keep_days: float = Field(
        0.0, ge=0, description="Predictions older than this (days) leave the history, too; 0 keeps them for ever."
    )


class Journal(Section):
    """What the journal remembers beside the facts."""

    keep_events: int = Field(
        100_000,
        ge=1000,
        description="Events that are kept: so many that come with every drop or request, and as many of all others.",
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
        description="What an empty home without a schema starts with: the Iris data, so that /predict works at once.",
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
    return f" Did you mean {close[0]!r}?" if close else " README.md lists all of them."


def _check_environment() -> None:
    """Refuse RETRAIND_… variables that name no setting: pydantic-settings would ignore a misspelt section."""
    known = {PREFIX + key.upper().replace(".", "__"): key for key, _, _ in entries()}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known and name != "RETRAIND_HOME":
            raise BadSettings(f"environment: there is no setting {name!r}.{_nearest(name, list(known))}")
