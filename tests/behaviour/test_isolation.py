"""Nothing of a user's git and DVC settings reaches the data repository. Real git and DVC, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

WORK = """
import sys
from pathlib import Path
import wiring
from checks import check
from retraind.daemon.core.home import Home
from retraind.daemon.dataset.checkout import check_out
home = Home(Path(sys.argv[1]))
wiring.bare(home)
wiring.drop_one(home)
with wiring.opened(home) as parts:
    assert parts.run(), "it goes on failing"
    revision = parts.dataset.revision()
    copy = Home(Path(sys.argv[1] + "-copy"))
    copy.root.mkdir()
    copy.make()
    assert check_out(home, copy, revision) == sorted(parts.segments("md5"))
    check(parts, first=True, dvc=True)
"""
"""A first start, a drop, a second drop, and a clone of the first revision, with everything that tests/faults checks."""


User = Callable[[Path], dict[str, str]]
"""Writes a user's settings into their home folder; gives what they have in the environment besides."""


def configured(text: str) -> User:
    """A user whose ~/.gitconfig has this text; `{home}` is their home folder."""

    def prepare(user: Path) -> dict[str, str]:
        (user / ".gitconfig").write_text(text.replace("{home}", str(user)))
        return {}

    return prepare


def written(name: str, text: str, **environment: str) -> User:
    """A user with one file of settings."""

    def prepare(user: Path) -> dict[str, str]:
        path = user / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return {key: value.replace("{home}", str(user)) for key, value in environment.items()}

    return prepare


FAILING = "#!/bin/sh\nexit 1\n"

USERS: dict[str, User] = {
    "ignore file": written(".config/git/ignore", "*\n"),
    "ignore file elsewhere": written("config/git/ignore", "*.dvc\n*.json\n.gitignore\n", XDG_CONFIG_HOME="{home}/config"),
    "core.excludesFile": lambda user: written("ignored", "*\n")(user) | configured("[core]\nexcludesFile = {home}/ignored\n")(user),
    "attributes": written(".config/git/attributes", "* text eol=crlf filter=broken\n*.json -diff merge=binary\n"),
    "clean filter": lambda user: written(".config/git/attributes", "* filter=broken\n")(user)
    | configured('[filter "broken"]\nclean = false\nsmudge = false\nrequired = true\n')(user),
    "autocrlf": configured("[core]\nautocrlf = true\nsafecrlf = true\neol = crlf\n"),
    "hooks": lambda user: written("hooks/pre-commit", FAILING)(user) | configured("[core]\nhooksPath = {home}/hooks\n")(user),
    "template": lambda user: written("template/hooks/pre-commit", FAILING)(user)
    | written("template/info/exclude", "*\n")(user)
    | configured("[init]\ntemplateDir = {home}/template\n")(user),
    "template by environment": written("template/info/exclude", "*\n", GIT_TEMPLATE_DIR="{home}/template"),
    "signing": configured("[commit]\ngpgSign = true\n[gpg]\nprogram = /bin/false\n[user]\nsigningKey = none\n"),
    "fsmonitor": configured("[core]\nfsmonitor = /bin/false\nuntrackedCache = true\n"),
    "no user": configured("[user]\nuseConfigOnly = true\n"),
    "default branch and format": configured("[init]\ndefaultBranch = trunk\n[extensions]\nobjectFormat = sha256\n[core]\nrepositoryFormatVersion = 1\n"),
    "sha256 by environment": lambda user: {"GIT_DEFAULT_HASH": "sha256"},
    "safe.directory": configured("[safe]\ndirectory =\nbareRepository = explicit\n"),
    "unreadable settings": configured("[core\n"),
    "settings by environment": lambda user: {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.bare", "GIT_CONFIG_VALUE_0": "true"},
    "other repository": lambda user: {"GIT_DIR": f"{user}/none", "GIT_INDEX_FILE": f"{user}/index", "GIT_WORK_TREE": str(user)},
    "DVC settings": written(".config/dvc/config", "[core]\nautostage = true\nremote = gone\n[cache]\ntype = symlink\nshared = group\n"),
    "DVC settings elsewhere": written("config/dvc/config", "[cache]\ndir = /nonexistent/cache\n", XDG_CONFIG_HOME="{home}/config"),
    "DVC settings of the site": written("site/dvc/config", "[cache]\ntype = symlink\n", XDG_CONFIG_DIRS="{home}/site"),
    "DVC's environment": lambda user: {"DVC_ROOT": str(user), "DVC_NO_ANALYTICS": "", "DVC_IGNORE_ISATTY": "1"},
    "no home": lambda user: {"HOME": ""},
    "home that is no folder": lambda user: {"HOME": "/dev/null"},
}  # fmt: skip


ALWAYS = (
    ("unreadable settings",),
    ("ignore file", "clean filter", "other repository", "DVC settings", "sha256 by environment"),
)
"""What has stopped commits, and other kinds of settings; each alone is looked at in the full run, since each takes some seconds."""


@pytest.mark.parametrize(
    "chosen",
    [*ALWAYS, *(pytest.param((name,), marks=pytest.mark.slow) for name in USERS if (name,) not in ALWAYS)],
    ids=", ".join,
)
def test_no_setting_of_the_user_reaches_the_data_repository(chosen: tuple[str, ...], tmp_path: Path) -> None:
    """Drops are committed, and revisions cloned, as without any setting."""
    user = tmp_path / "user"
    user.mkdir()
    environment = os.environ | {
        "HOME": str(user),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests/faults")]),
    }
    for name in chosen:
        environment |= USERS[name](user)
    command = [sys.executable, "-c", WORK, str(tmp_path / "home")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
