"""The targets that the settings name, read again when one of their files changes."""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Notify
from retraind.daemon.notify.targets.apprise_url import AppriseUrl
from retraind.daemon.notify.targets.command import Command
from retraind.daemon.notify.targets.target import Target
from retraind.daemon.notify.targets.webhook import Webhook

SHORTEST_KEY = 16

State = tuple[tuple[int, int, int] | None, ...]


class Targets:
    """The present targets; `salt` keeps their names in the journal from revealing their addresses."""

    def __init__(self, home: Home, settings: Notify, salt: str) -> None:
        self._home, self._settings, self._salt = home, settings, salt.encode()
        self._targets: dict[str, list[Target]] = {}
        self._state: State | None = None
        self._sources = {"webhook": self._webhook, "command": self._command, "urls": self._addresses}
        self.problem: str | None = None
        """Why some targets can't be used; None if all can."""

    def current(self) -> dict[str, Target]:
        """The targets by name. If a file can't be used, its targets are those of before."""
        settings = self._settings
        state: State = tuple(_stamp(self._path(name)) for name in (settings.urls_file, settings.secret_file))
        if state != self._state:
            self._state = state
            problems = [self._read(name, source) for name, source in self._sources.items()]
            self.problem = next(filter(None, problems), None)
        return {target.name: target for targets in self._targets.values() for target in targets}

    def _read(self, name: str, source: Callable[[], Iterator[Target]]) -> str | None:
        """Read the targets of one setting; returns why they can't be used."""
        try:
            self._targets[name] = list(source())
        except BadSettings as error:
            return str(error)
        return None

    def _webhook(self) -> Iterator[Target]:
        if self._settings.webhook:
            yield Webhook(self._settings.webhook, self._key(), self._settings.timeout_seconds)

    def _command(self) -> Iterator[Target]:
        if self._settings.command:
            yield Command(self._settings.command, self._settings.timeout_seconds)

    def _key(self) -> str:
        path = self._path(self._settings.secret_file)
        key = _text(path).strip()
        if len(key) < SHORTEST_KEY:
            raise BadSettings(
                f"{path} (notify.secret_file) has less than {SHORTEST_KEY} characters.",
                hint="`openssl rand -hex 32` makes a key.",
            )
        return key

    def _addresses(self) -> Iterator[Target]:
        if not self._settings.urls_file:
            return
        path = self._path(self._settings.urls_file)
        if find_spec("apprise") is None:
            raise BadSettings(
                "notify.urls_file needs apprise, which is not installed.", hint="pip install 'retraind[notify]'"
            )
        for number, line in enumerate(_text(path).splitlines(), 1):
            url = line.strip()
            if not url or url.startswith("#"):
                continue
            digest = hmac.new(self._salt, url.encode(), hashlib.sha256).hexdigest()
            yield AppriseUrl(url, f"{url.partition(':')[0].lower()}-{digest[:8]}", path, number)

    def _path(self, name: str) -> Path:
        return self._home.root / name


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise BadSettings(f"{path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{path} is not a text in UTF-8.") from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
