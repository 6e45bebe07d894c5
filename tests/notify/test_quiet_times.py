"""retraind.daemon.notify.quiet_times: in the local time of the settings, over midnight and on some days."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.settings import Notify, load
from retraind.daemon.notify.quiet_times import QuietTimes


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "timezone", "moment", "covered"),
    [
        ("22:00-07:00", "UTC", "2026-11-30 21:59", False),
        ("22:00-07:00", "UTC", "2026-11-30 22:00", True),
        ("22:00-07:00", "UTC", "2026-12-01 06:59", True),
        ("22:00-07:00", "UTC", "2026-12-01 07:00", False),
        ("22:00-07:00", "Europe/Berlin", "2026-11-30 21:00", True),
        ("22:00-07:00", "Europe/Berlin", "2026-07-30 20:00", True),  # summer time
        ("02:15-02:45", "Europe/Berlin", "2026-10-25 00:30", True),  # the first 02:30 of the night with 25 hours
        ("02:15-02:45", "Europe/Berlin", "2026-10-25 01:30", True),  # and the second
        ("22:00-02:30", "Europe/Berlin", "2026-10-25 01:29", True),
        ("22:00-02:30", "Europe/Berlin", "2026-03-29 00:59", True),
        ("22:00-02:30", "Europe/Berlin", "2026-03-29 01:00", False),  # 03:00, as there is no 02:30
        ("Sat 22:00-07:00", "Europe/Berlin", "2026-03-29 04:59", True),
        ("Sat 22:00-07:00", "Europe/Berlin", "2026-03-29 05:00", False),
        ("Sat,Sun 00:00-24:00", "UTC", "2026-11-28 00:00", True),
        ("Sat,Sun 00:00-24:00", "UTC", "2026-11-29 23:59", True),
        ("Sat,Sun 00:00-24:00", "UTC", "2026-11-30 00:00", False),
        ("Fri 20:00-08:00", "UTC", "2026-11-28 07:00", True),  # Saturday, of Friday's
        ("Fri 20:00-08:00", "UTC", "2026-11-27 07:00", False),
    ],
)
def test_moment_is_covered(quiet: str, timezone: str, moment: str, covered: bool) -> None:
    assert QuietTimes([quiet], timezone).cover(at(moment)) is covered


def test_several_times_add_up() -> None:
    times = QuietTimes(["Sat,Sun 00:00-24:00", "22:00-07:00"], "UTC")
    assert times.cover(at("2026-11-29 12:00"))
    assert times.cover(at("2026-11-30 23:00"))
    assert not times.cover(at("2026-11-30 12:00"))


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ('quiet = ["10pm-7am"]', "'10pm-7am' is not a quiet time"),
        ('timezone = "Mars/Olympus"', "knows no such time zone"),
        ('webhook = "https://example.org/x"', "needs notify.secret_file"),
        ('kinds = ["rejectd"]', "notify.kinds.0"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, settings: str, part: str) -> None:
    file = tmp_path / "retraind.toml"
    file.write_text(f"[notify]\n{settings}\n")
    with pytest.raises(BadSettings, match="notify") as raised:
        load(file)
    assert part in str(raised.value)


@pytest.mark.parametrize("webhook", ["https://me:hush@example.org/x", "https://example.org/x?token=hush"])
def test_webhook_with_a_secret_is_refused_without_repeating_it(webhook: str) -> None:
    with pytest.raises(BadSettings) as raised:
        Notify(webhook=webhook, secret_file="key")
    assert "hush" not in str(raised.value)
    assert "notify.urls_file" in str(raised.value)
