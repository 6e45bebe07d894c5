import os
import sys
from pathlib import Path

import pytest
from pip._internal.configuration import Configuration

from installer.pip_settings import for_uv, read

INDEX = {"index-url": "https://mirror.example/simple", "extra-index-url": "\nhttps://a.example/simple\n file:///b"}


def pip_reads() -> dict[str, str]:
    """The settings of `pip install` as the installed pip itself reads them; `pip config list` does not say which file is stronger."""
    configuration = Configuration(isolated=False)
    configuration.load()
    keys = {key for values in dict(configuration.items()).values() for key in values}
    return {
        key.removeprefix(f"{section}."): configuration.get_value(key)
        for section in ("global", "install", ":env:")
        for key in keys
        if key.startswith(f"{section}.")
    }


@pytest.mark.parametrize("own", ["own.conf", "missing.conf"])
def test_settings_are_those_that_pip_reads(tmp_path: Path, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the machine and of the user, an older one of the user, one that a variable names, and variables."""
    files = {
        "xdg/pip/pip.conf": "[global]\nindex-url = https://machine\ntimeout = 3\n[list]\nformat = json\n",
        ".pip/pip.conf": "[global]\nindex-url = https://old\nproxy = old:1\n[install]\nretries = 7\n",
        ".config/pip/pip.conf": "[global]\nproxy = new:1\nextra_index_url =\n    https://a.example/simple\n    file:///b\n",
        "own.conf": "[global]\nno-index = yes\nindex-url = https://own\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in [name for name in os.environ if name.startswith(("PIP_", "XDG_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
        "PIP_CONFIG_FILE": str(tmp_path / own),
        "PIP_TRUSTED_HOST": "a.example",
        "PIP_TIMEOUT": "9",
    }.items():
        monkeypatch.setenv(name, value)
    expected = pip_reads()
    assert expected["timeout"] == "9"
    assert expected["index-url"] == ("https://own" if own == "own.conf" else "https://old")
    settings = read(os.environ, Path(sys.prefix))
    assert {name: settings.get(name) for name in expected} == expected
    assert read({"PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}, tmp_path) == {"config-file": os.devnull}


def test_uv_looks_where_pip_looks(tmp_path: Path) -> None:
    settings = INDEX | {
        "find-links": f"{tmp_path} {tmp_path / 'gone'} https://links.example",
        "cert": "/etc/company.pem",
        "client-cert": "/etc/client.pem",
        "proxy": "proxy.example:3128",
        "trusted-host": "a.example  b.example:8080",
        "timeout": "60",
        "no-index": "true",
    }
    environ = for_uv(settings, {"PATH": "/bin", "SSL_CERT_FILE": "/etc/other.pem"}, certificates=True)
    assert environ == {
        "PATH": "/bin",
        "UV_INDEX_URL": "https://mirror.example/simple",
        "UV_EXTRA_INDEX_URL": "https://a.example/simple file:///b",
        "UV_FIND_LINKS": f"{tmp_path},https://links.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "a.example b.example:8080",
        "UV_NO_INDEX": "1",
        "UV_SYSTEM_CERTS": "1",
        "UV_HTTP_TIMEOUT": "60",
        "SSL_CERT_FILE": "/etc/company.pem",
        "SSL_CLIENT_CERT": "/etc/client.pem",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HTTP_PROXY": "http://proxy.example:3128",
    }


def test_what_uv_is_told_itself_is_stronger() -> None:
    own = {"UV_DEFAULT_INDEX": "https://uv.example/simple", "https_proxy": "http://p", "UV_CACHE_DIR": "/cache"}
    environ = for_uv(INDEX | {"proxy": "other:1"}, own, certificates=False)
    assert environ == own | {
        "HTTP_PROXY": "http://other:1",
        "UV_EXTRA_INDEX_URL": "https://a.example/simple file:///b",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_no_variable_changes_what_is_installed() -> None:
    stray = {
        "UV_NO_VERIFY_HASHES": "1",
        "UV_SYSTEM_PYTHON": "1",
        "UV_OVERRIDE": "x",
        "UV_PYTHON": "3.9",
        "UV_NO_BINARY": "1",
    }
    assert for_uv({}, stray, certificates=False) == {"UV_INDEX_STRATEGY": "unsafe-best-match"}
