"""Settings of the gate and of what is served: `promote`."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from retraind.daemon.core.settings.section import Section


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
        description="Minimum holdout score. A version below it is not served. It applies to the metric that `train.metric` names. For `auto`, and for a metric whose lower values are better, it applies to accuracy or R². 0: none.",
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
    def _leave_time_for_a_trial(cls, value: int, others: ValidationInfo) -> int:
        least = others.data.get("live_rows", 0)
        if value < least:
            raise ValueError(
                f"it is less than live_rows = {least}, so no version would ever be rolled back for its late labels; "
                "raise it, or set live_rows = 0 if that is meant"
            )
        return value
