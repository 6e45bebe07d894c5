"""Settings of notifications: `notify`. None of them is a secret: addresses with tokens and keys are in files of their own."""

import re
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.journal.notices import NoticeKind
from retraind.daemon.core.settings.section import Section

QUIET = re.compile(
    r"((Mon|Tue|Wed|Thu|Fri|Sat|Sun)(,(Mon|Tue|Wed|Thu|Fri|Sat|Sun))* )?"
    r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)"
)
"""A quiet time: `22:00-07:00`, or on some days `Sat,Sun 00:00-24:00`."""


class Notify(Section):
    """Who is notified of what, and when. Without a target nothing is recorded or sent."""

    urls_file: str = Field(
        "",
        description="File with Apprise addresses (mail, Slack, Teams, ntfy and others), one a line; `#` begins a comment. The addresses hold passwords, so keep the file private. A relative path is in the home. Needs `retraind[notify]`.",
    )
    webhook: str = Field(
        "",
        description="Address that gets each notice as a signed POST with JSON. It is shown in texts, so it may not hold a password or a query. See docs/operations.md.",
    )
    secret_file: str = Field(
        "",
        description="File with the key of the webhook's signature, at least 16 characters. A relative path is in the home.",
    )
    command: list[str] = Field(
        default_factory=list,
        description="Program and arguments, run without a shell for each notice, which it reads as JSON on standard input.",
    )
    kinds: list[NoticeKind] = Field(
        default=[
            NoticeKind.REJECTED,
            NoticeKind.UNANSWERED,
            NoticeKind.HELD,
            NoticeKind.ROLLED_BACK,
            NoticeKind.FAILED,
            NoticeKind.UNHEALTHY,
            NoticeKind.HEALED,
            NoticeKind.DRIFT,
            NoticeKind.SILENT,
        ],
        min_length=1,
        description="The kinds of notices that are sent. Others are `refused` and `promoted`.",
    )
    urgent: list[NoticeKind] = Field(
        default=[NoticeKind.UNHEALTHY, NoticeKind.HEALED, NoticeKind.ROLLED_BACK],
        description="Kinds that are also sent in quiet times.",
    )
    quiet: list[str] = Field(
        default_factory=list,
        description="Quiet times, such as `22:00-07:00` or `Sat,Sun 00:00-24:00`. Notices that fall due in one are sent at its end, one for each kind.",
    )
    timezone: str = Field("UTC", description="Time zone of the quiet times, such as `Europe/Berlin`.")
    group_seconds: float = Field(
        30.0, ge=0, description="Time (seconds) in which further events of a kind join the same notice."
    )
    every_seconds: float = Field(
        300.0, ge=0, description="Minimum time (seconds) between two notices of the same kind."
    )
    unhealthy_seconds: float = Field(
        60.0, ge=0, description="Time (seconds) for which a check must fail before it is reported."
    )
    silent_hours: float = Field(
        0.0, ge=0, description="Time (hours) without a drop after which that is reported, once. 0: never."
    )
    timeout_seconds: float = Field(
        10.0, gt=0, le=300, description="Time limit (seconds) of the webhook and the command."
    )
    keep_hours: float = Field(
        72.0, gt=0, description="Age (hours) at which a notice that could not be sent is given up."
    )

    @property
    def is_on(self) -> bool:
        """Whether there is a target."""
        return bool(self.urls_file or self.webhook or self.command)

    @field_validator("webhook")
    @classmethod
    def _has_no_secret(cls, webhook: str) -> str:
        parts = urlsplit(webhook)
        plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if webhook and not (plain and not parts.query and not parts.fragment):
            # Not a ValueError, because pydantic's message would quote the address with its secret.
            raise BadSettings(
                "notify.webhook: write https://host/path without a password or a query.",
                hint="Put an address that holds a token into notify.urls_file.",
            )
        return webhook

    @field_validator("quiet")
    @classmethod
    def _are_times(cls, quiet: list[str]) -> list[str]:
        for text in quiet:
            if not QUIET.fullmatch(text):
                raise ValueError(f"{text!r} is not a quiet time; write 22:00-07:00 or Sat,Sun 00:00-24:00")
        return quiet

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str, _: ValidationInfo) -> str:
        if timezone != "UTC":
            from zoneinfo import ZoneInfo  # here, because few homes need it

            try:
                ZoneInfo(timezone)
            except (ValueError, OSError, LookupError):
                raise ValueError("this machine knows no such time zone; write one such as Europe/Berlin") from None
        return timezone

    @model_validator(mode="after")
    def _can_sign(self) -> "Notify":
        if self.webhook and not self.secret_file:
            raise ValueError("notify.webhook needs notify.secret_file, with the key of its signature")
        return self
