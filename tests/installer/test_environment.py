"""Real environments of one small package, from an index in a folder that only pip's settings name."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from installer import environment, pip_settings, uv_program
from installer.environment import InstallFailed
from installer.progress import Programs, Progress

ROOT = Path(__file__).resolve().parents[2]
needs_uv = pytest.mark.skipif(uv_program.usable(shutil.which("uv")) is None, reason="no uv on PATH")


class Place:
    """A folder with blanks in its name: wheels, a lock file with their hashes, pip's settings, and the environment `venv`."""

    def __init__(self, root: Path) -> None:
        self.root = root / "a place"
        self.venv, self.lock = self.root / "venv", self.root / "few.lock"
        self.wheels = self.root.with_name("wheels")
        self.wheels.mkdir()
        self.root.mkdir()
        (self.root / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {self.wheels}\n")

    def want(self, **versions: str) -> None:
        """Write the lock file, and the wheels that are missing."""
        lines = []
        for name, version in versions.items():
            wheel = self.wheels / f"{name}-{version}-py3-none-any.whl"
            if not wheel.exists():
                wheel.write_bytes(_wheel(name, version, wheel))
            lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
        self.lock.write_text("".join(lines))

    def start(self, *flags: str, **environ: str) -> subprocess.Popen[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        own |= {
            "PYTHONPATH": str(ROOT),
            "PIP_CONFIG_FILE": str(self.root / "pip.conf"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
        }
        command = [sys.executable, "-P", "-m", "installer", "make", "venv", "few.lock", *flags]
        return subprocess.Popen(command, cwd=self.root, env=own | environ, text=True, stderr=subprocess.PIPE)

    def make(self, *flags: str, **environ: str) -> tuple[int, str]:
        """Make the environment; gives the exit code and what the installer has said."""
        with self.start(*flags, **environ) as installer:
            said = installer.communicate(timeout=120)[1]
        return installer.returncode, said

    def greet(self, name: str = "greeter") -> str:
        """What the program of the package says, or why it can't."""
        done = subprocess.run([self.venv / "bin" / name], capture_output=True, text=True)
        return done.stdout.strip() or done.stderr


def _wheel(name: str, version: str, wheel: Path) -> bytes:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"def main():\n    print('{name} {version}')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for path, text in files.items()}
    record = [f"{path},sha256={digest.decode().rstrip('=')},{len(files[path])}" for path, digest in digests.items()]
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return wheel.read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@needs_uv
def test_two_at_once_make_one_environment_by_the_mirror_that_pip_knows(place: Place) -> None:
    place.want(greeter="1.0")
    installers = [place.start() for _ in range(2)]
    said = "".join(installer.communicate(timeout=120)[1] for installer in installers)
    assert [installer.returncode for installer in installers] == [0, 0], said
    assert said.count("1 packages are in") == 1, said
    assert "with uv" in said
    assert place.greet() == "greeter 1.0"
    assert [path.name for path in place.venv.glob("installer-*")] == []
    # Equal stamp: nothing to do, and nothing to say.
    assert place.make() == (0, "")


@needs_uv
def test_complete_environment_is_renewed_and_half_a_one_made_again(place: Place) -> None:
    place.want(greeter="1.0", extra="1.0")
    assert place.make()[0] == 0
    place.want(greeter="2.0")
    assert place.make()[0] == 0
    assert (place.greet(), place.greet("extra")) == ("greeter 2.0", "extra 1.0"), "what others installed stays"
    # As an installer that was killed leaves it: the package counts as installed, and its module is gone.
    (place.venv / ".stamp").unlink()
    next(place.venv.glob("lib/python*/site-packages/greeter.py")).unlink()
    code, said = place.make()
    assert code == 0, said
    assert place.greet() == "greeter 2.0"
    assert not (place.venv / "bin/extra").exists()


@pytest.mark.slow
@needs_uv
def test_other_bytes_than_the_lock_names_are_refused_by_uv_and_by_pip(place: Place) -> None:
    place.want(greeter="1.0")
    _wheel("greeter", "1.0", wheel := place.wheels / "greeter-1.0-py3-none-any.whl")
    wheel.write_bytes(wheel.read_bytes() + b" ")
    code, said = place.make()
    assert code == 1
    assert "uv failed, so pip installs" in said
    assert "cannot be installed into" in said
    assert "hash" in said.lower()
    assert not (place.venv / ".stamp").exists()


def test_folder_that_is_no_environment_is_left_alone(place: Place) -> None:
    place.want(greeter="1.0")
    place.venv.mkdir()
    (place.venv / "thesis.txt").write_text("years of work")
    code, said = place.make()
    assert code == 1
    assert "is not a Python environment" in said
    assert (place.venv / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
def test_pip_installs_where_uv_cannot_be_had(place: Place, tmp_path: Path) -> None:
    """The mirror has no uv, and the one on PATH is too old."""
    place.want(greeter="1.0")
    (old := tmp_path / "uv").write_text("#!/bin/sh\necho uv 0.4.1\n")
    old.chmod(0o755)
    code, said = place.make(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert code == 0, said
    assert "uv is not available, so pip installs" in said
    assert "with pip" in said
    assert place.greet() == "greeter 1.0"


def test_damaged_uv_of_the_cache_is_replaced(tmp_path: Path) -> None:
    """Else it would be fetched for each installation, and never used."""
    folder = tmp_path / "uv-1"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/uv").write_text("#!/bin/sh\nexit 1\n")
    fetching = tmp_path / "pip.py"
    fetching.write_text(
        "import os, pathlib, sys\n"
        "uv = pathlib.Path(sys.argv[sys.argv.index('--target') + 1], 'bin/uv')\n"
        "uv.parent.mkdir()\n"
        "uv.write_text('#!/bin/sh\\necho uv 9.0\\n')\n"
        "uv.chmod(0o755)\n"
    )
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with Progress() as progress:
            programs = Programs(progress, descriptor)
            program, ended = uv_program.fetch([sys.executable, fetching], folder, programs, os.environ)
    finally:
        os.close(descriptor)
    assert ended.code == 0
    assert uv_program.usable(program) == program
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pip.py", "uv-1"]


def test_python_without_ensurepip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Debian has it without python3-venv; deploy.sh asks before, others get no traceback either."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    wheel = uv_program.bundled_pip()
    assert wheel is None or wheel.parent == Path("/usr/share/python-wheels")
    with monkeypatch.context() as patch:
        patch.setattr(
            "venv.EnvBuilder._call_new_python",
            lambda *_, **__: (_ for _ in ()).throw(
                subprocess.CalledProcessError(1, "python", b"No module named ensurepip")
            ),
        )
        with pytest.raises(InstallFailed, match="apt install python3-venv"):
            environment._add_pip(tmp_path / "venv")


def test_user_without_a_home_installs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container runs with any user id: no variable and no entry name its home."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("uid not found")))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    assert uv_program.cache(environ) is None
    assert uv_program.place(environ, place.venv).parent == place.venv
    pip_settings.read(environ, place.venv)


@needs_uv
@pytest.mark.parametrize("program", ["uv", pytest.param("pip", marks=pytest.mark.slow)])
def test_packages_of_a_person_come_beside_those_of_the_lock(place: Place, program: str) -> None:
    """They are there again after an upgrade; one that needs another version of a locked package is refused with both names."""
    place.want(greeter="2.0", extra="1.0")
    place.want(greeter="1.0")
    asked = "--with", program, "--packages", str(packages := place.root / "packages.txt")
    assert place.make(*asked)[0] == 0, "the file need not exist"
    packages.write_text("extra\n")
    assert place.make(*asked)[0] == 0
    assert (place.greet(), place.greet("extra")) == ("greeter 1.0", "extra 1.0")
    place.want(greeter="2.0")
    shutil.rmtree(place.venv)
    assert place.make(*asked)[0] == 0
    assert (place.greet(), place.greet("extra")) == ("greeter 2.0", "extra 1.0")
    assert place.make(*asked) == (0, ""), "nothing has changed"
    packages.write_text("greeter<2\n")
    code, said = place.make(*asked)
    assert (code, "cannot be installed beside those of few.lock, whose versions stay" in said) == (1, True), said
