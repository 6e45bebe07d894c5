"""What can be said of the deployment files without deploying; docs/operations.md has the rest as commands."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from retraind.daemon.core.settings.settings import entries, variable

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["deploy.sh", "ci.sh", ".ci/run"]
LOCKS = {
    "requirements.lock": 100,
    "requirements-dev.lock": 100,
    "requirements-dask.lock": 10,
    "requirements-notify.lock": 5,
    "requirements-postgres.lock": 2,
    "requirements-s3.lock": 3,
    "installer/requirements.lock": 1,
}
"""Each lock file, and how many packages it has at least."""
UNIT = ROOT / "systemd" / "retraind.service"
ROLES = ["leader.conf", "node.conf"]
"""What makes the unit that of a leader with a standby, or of a node."""


def deploy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "deploy.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=60)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_parse_and_are_executable(name: str) -> None:
    script = ROOT / name
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert os.access(script, os.X_OK)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name: str) -> None:
    done = subprocess.run(["shellcheck", str(ROOT / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_help_names_every_command() -> None:
    done = deploy("help")
    assert done.returncode == 0
    for command in ("local", "docker", "systemd"):
        assert f"\n  {command} " in done.stdout


def test_unknown_command_is_a_usage_error() -> None:
    done = deploy("kubernetes")
    assert done.returncode == 2
    assert "no command 'kubernetes'" in done.stderr


def test_old_python_is_refused_with_what_to_install(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = deploy("local", PYTHON=str(old))
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_unknown_extra_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    done = deploy("local", RETRAIND_EXTRAS="s3,redis", RETRAIND_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "no extra 'redis'" in done.stderr


def test_missing_engine_is_reported(tmp_path: Path) -> None:
    for tool in ("dirname", "bash", "git", "id"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = deploy("docker", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "neither docker nor podman" in done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("role", [None, *ROLES])
def test_unit_verifies(tmp_path: Path, role: str | None) -> None:
    # Only the program's place is not on this machine.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    if role is not None:
        (tmp_path / f"{UNIT.name}.d").mkdir()
        shutil.copy(ROOT / "systemd" / role, tmp_path / f"{UNIT.name}.d" / "role.conf")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Unknown" not in done.stderr


def test_unit_never_gives_up_and_is_not_root() -> None:
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    expected = {
        "Type": "notify",
        "User": "retraind",
        "Restart": "always",
        "KillMode": "mixed",
        "CapabilityBoundingSet": "",
    }
    assert {key: unit["Service"][key] for key in expected} == expected


@pytest.mark.parametrize("name", [*ROLES, "environment"])
def test_variables_of_the_unit_are_settings(name: str) -> None:
    lines = re.findall(r"(?m)^#?(?:Environment=)?(RETRAIND_\w+)=", (ROOT / "systemd" / name).read_text())
    known = {variable(key) for key, _, _ in entries()}
    assert lines
    assert set(lines) <= known


def test_unknown_role_is_refused() -> None:
    done = deploy("systemd", "nodes")
    assert done.returncode == 2
    assert "no role 'nodes'" in done.stderr


def test_image_does_not_run_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"(?m)^USER 10001", text)
    assert re.search(r'(?m)^ENTRYPOINT \["retraind"\]$', text)


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(requirements) >= LOCKS[name]
    for requirement in requirements:
        assert re.match(r"^[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement[
            :80
        ]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host)\b", text)


def test_the_builder_is_in_the_lock() -> None:
    text = (ROOT / "requirements.lock").read_text()
    for name in ("hatchling", "editables"):
        assert re.search(rf"(?m)^{name}==", text), f"without {name} the project can't be installed offline"


def test_every_way_to_deploy_takes_packages_of_candidates() -> None:
    """docs/training.md says where the file is; an image is built without it, too."""
    image, script = (ROOT / "Dockerfile").read_text(), (ROOT / "deploy.sh").read_text()
    assert re.search(r"(?m)^COPY .*packages\.tx\[t\] /src/$", image)
    assert "--packages /src/packages.txt" in image
    assert "!packages.txt" in (ROOT / ".dockerignore").read_text().splitlines()
    assert script.count("--packages") == 2
    for place in ('"$home/packages.txt"', "/etc/retraind/packages.txt"):
        assert place in script
