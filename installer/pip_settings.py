"""Passes pip's configuration on to uv, so that mirrors, certificates and proxies of a company keep working.

uv reads neither pip's files nor its variables.
"""

import configparser
import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

NAME = "pip.conf"

ONLY_PIP = frozenset({"no-binary", "only-binary"})
"""Settings that choose files in a way that can't be passed on; with any of them, pip installs."""

NETWORK = (
    "UV_ALLOW_INSECURE_HOST", "UV_CACHE_DIR", "UV_CONCURRENT_", "UV_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
    "UV_HTTP_", "UV_INDEX", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_LINK_MODE", "UV_LOCK_TIMEOUT", "UV_NO_CACHE", "UV_NO_CONFIG",
    "UV_NO_INDEX", "UV_OFFLINE", "UV_REQUEST_TIMEOUT", "UV_SYSTEM_CERTS",
)  # fmt: skip
"""Prefixes of uv's variables on how to reach packages. Others, such as UV_NO_VERIFY_HASHES, would change the installed
packages."""


def read(environ: Mapping[str, str], prefix: Path) -> dict[str, str]:
    """The settings of `pip install` by name (`index-url`), as pip in the environment `prefix` reads them.

    pip itself (`pip config list`) needs two seconds for this, as long as the whole installation.
    """
    settings: dict[str, str] = {}
    sections = [_sections(path) for path in _files(environ, prefix)]
    for section in ("global", "install"):
        for file in sections:
            settings |= file.get(section, {})
    variables = {name.removeprefix("PIP_"): value for name, value in environ.items() if name.startswith("PIP_")}
    return settings | {name.lower().replace("_", "-"): value for name, value in variables.items() if value}


def user_home(environ: Mapping[str, str]) -> Path:
    """The user's home folder.

    A path that does not exist if the user has none, as in a container with an arbitrary user id.
    """
    if home := environ.get("HOME"):
        return Path(home)
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _files(environ: Mapping[str, str], prefix: Path) -> list[Path]:
    """The files that pip reads; a later one overrides an earlier one."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    home = user_home(environ)
    folders = [Path(folder) for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)]
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    if sys.platform == "darwin":
        folders = [Path("/Library/Application Support")]
        user = next(filter(Path.is_dir, [home / "Library/Application Support/pip"]), home / ".config/pip")
    everywhere = [folder / "pip" / NAME for folder in folders] + (
        [] if sys.platform == "darwin" else [Path("/etc") / NAME]
    )
    if own and Path(own).exists():  # instead of the user's
        return [*everywhere, prefix / NAME, Path(own)]
    return [*everywhere, home / ".pip" / NAME, user / NAME, prefix / NAME]


def _sections(path: Path) -> dict[str, dict[str, str]]:
    """The sections of a file; empty for an unreadable file, which stops pip anyway."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(path)
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    return {
        section: {name.lower().replace("_", "-"): value for name, value in parser.items(section)}
        for section in parser.sections()
    }


def system_certificates() -> bool:
    """Whether this machine has a store of certificates.

    It may include a company's own certificate, and newer versions of pip trust it.
    """
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and next(Path(paths.capath).iterdir(), None)))


def for_uv(settings: Mapping[str, str], environ: Mapping[str, str], certificates: bool) -> dict[str, str]:
    """The environment for a uv that reaches the same places as pip with its `settings`.

    Uv's own variables in `environ` win.
    """
    taken = {name: value for name, value in environ.items() if not name.startswith("UV_") or name.startswith(NETWORK)}
    for names, value in _variables(settings, certificates):
        if value and not any(environ.get(name) for name in names):
            taken[names[0]] = value
    # pip's own certificate setting comes before the common variable.
    if settings.get("cert"):
        taken["SSL_CERT_FILE"] = settings["cert"]
    return taken


def _variables(settings: Mapping[str, str], certificates: bool) -> list[tuple[tuple[str, ...], str]]:
    """Variables with their synonyms, and the value for the first of them; an empty value sets nothing."""
    proxy = settings.get("proxy", "")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    keyring = "subprocess" if settings.get("keyring-provider") == "subprocess" else ""
    no_index = settings.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    return [
        (("UV_INDEX_URL", "UV_DEFAULT_INDEX"), settings.get("index-url", "")),
        (("UV_EXTRA_INDEX_URL", "UV_INDEX"), " ".join(settings.get("extra-index-url", "").split())),
        (("UV_FIND_LINKS",), ",".join(_reachable(settings.get("find-links", "").split()))),
        (("UV_NO_INDEX",), "1" if no_index else ""),
        # As in pip, a version may be in any of the indexes. The hashes identify the right files.
        (("UV_INDEX_STRATEGY",), "unsafe-best-match"),
        (("UV_INSECURE_HOST", "UV_ALLOW_INSECURE_HOST"), " ".join(settings.get("trusted-host", "").split())),
        (("UV_SYSTEM_CERTS",), "1" if certificates else ""),
        (("SSL_CLIENT_CERT",), settings.get("client-cert", "")),
        (("HTTPS_PROXY", "https_proxy"), proxy),
        (("HTTP_PROXY", "http_proxy"), proxy),
        (("UV_KEYRING_PROVIDER",), keyring),
        (("UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT"), settings.get("timeout") or settings.get("default-timeout", "")),
    ]


def _reachable(places: list[str]) -> list[str]:
    """The places without missing folders: pip skips those, uv fails."""
    return [place for place in places if "://" in place or Path(place).exists()]
