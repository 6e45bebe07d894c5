"""Settings of monitoring and retention: `drift`, `predictions`, `journal`, `mlflow` and `log`."""

from typing import Literal

from pydantic import Field, field_validator

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.journal import journal_address
from retraind.daemon.core.settings.section import Section


class Drift(Section):
    """When recent predictions count as different from the training rows of the model."""

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
        description="A single drifted feature raises an alarm if it has this share (0-1) of the importance, or is the most important one.",
    )


class Predictions(Section):
    """The prediction log and its history."""

    durability: Literal["relaxed", "strict"] = Field(
        "relaxed",
        description="What a power cut may cost: with `relaxed` the last second of the log, with `strict` (fsync before the answer) nothing.",
    )
    rotate_bytes: int = Field(67_108_864, gt=0, description="Size (bytes) at which a log file is closed.")
    rotate_seconds: float = Field(3600.0, gt=0, description="Age (seconds) at which a log file is closed.")
    history: Literal["sqlite", "parquet"] = Field(
        "sqlite",
        description="Place of predictions beyond `predictions.keep_rows`. `sqlite`: none, they are removed. `parquet`: Parquet files, in a folder for each day, in the object store if `storage.url` is set, otherwise in `logs/predictions`.",
    )
    keep_rows: int = Field(
        1_000_000,
        ge=0,
        description="Maximum number of predictions in the history's database. Beyond it, the caller with the most predictions loses its oldest ones first. If `predictions.history` is `parquet`, the oldest ones leave it once they are in Parquet files.",
    )
    keep_days: float = Field(
        0.0,
        ge=0,
        description="Age (days) at which predictions are removed from the history; a Parquet file goes as soon as its newest one has this age. 0 keeps them.",
    )

    outbox_days: float = Field(
        30.0, ge=0, description="Age (days) at which answers in `outbox` are removed. 0 keeps them."
    )
    outbox_bytes: int = Field(
        10_737_418_240,
        gt=0,
        description="Size (bytes) of `outbox` above which files in `inbox/predict` wait.",
    )


class Journal(Section):
    """The place of the journal, and limits of its entries."""

    url: str = Field(
        "",
        description="Where the journal is. Empty: `registry/journal.db`. `postgresql+psycopg://USER@HOST/DATABASE`: on a PostgreSQL server (extra `retraind[postgres]`). The address has no password: that comes from PGPASSWORD, `~/.pgpass` or a service file. `retraind migrate` moves an existing journal.",
    )
    keep_events: int = Field(
        100_000,
        ge=1000,
        description="Number of events kept: this many of the kinds that come with every drop or request, and as many of all others.",
    )

    @field_validator("url")
    @classmethod
    def _refuse_passwords(cls, url: str) -> str:
        # Not a ValueError, because pydantic's message would quote the address with its password.
        if url and (objection := journal_address.objection(url)):
            raise BadSettings(f"journal.url: {objection}")
        return url


class Mlflow(Section):
    """The place of MLflow's database."""

    url: str = Field(
        "",
        description="Where MLflow's database is. Empty: `registry/mlflow.db`. `postgresql+psycopg://USER@HOST/DATABASE`: on a PostgreSQL server (extra `retraind[postgres]`), in another database or schema than the journal. The address has no password: see `journal.url`. `retraind migrate --mlflow` moves an existing database.",
    )

    @field_validator("url")
    @classmethod
    def _refuse_passwords(cls, url: str) -> str:
        if url and (objection := journal_address.objection(url)):
            raise BadSettings(f"mlflow.url: {objection}")
        return url


class Log(Section):
    """The program's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is written."
    )
    format: Literal["auto", "text", "json"] = Field("auto", description="`auto` is text on a terminal, JSON elsewhere.")
