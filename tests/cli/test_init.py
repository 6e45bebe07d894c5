"""`retraind init` and `retraind schema`: what they infer, say, write and refuse."""

import json
import tomllib
from pathlib import Path

from commands import forked

from retraind.daemon.core import settings
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.schema import schema


def test_init_writes_schema_and_settings(home: Home, tmp_path: Path) -> None:
    """A user's file gives a schema, the settings file lists every default, and a second init changes nothing."""
    own = tmp_path / "churn.csv"
    own.write_text("age,plan [/x],left\n30,basic,no\n,plus,yes\n")
    done = forked("init", own, "--target", "left", home=home)
    assert done.returncode == Exit.OK, done.stderr
    assert "plan [/x]" in done.stdout
    assert json.loads(home.schema.read_text())["classes"] == ["no", "yes"]
    assert tomllib.loads(home.settings.read_text()) == {}
    assert settings.load(home.settings).server.port == 5000
    before = home.schema.read_bytes()
    again = forked("init", own, "--target", "plan [/x]", home=home)
    assert again.returncode == Exit.USAGE
    assert "already has data" in again.stderr
    assert home.schema.read_bytes() == before


def test_init_says_what_it_decided(home: Home, tmp_path: Path) -> None:
    """Free text is left out, and the settings let drops keep it; the task can be chosen; the decimal comma is noticed."""
    own = tmp_path / "rents.csv"
    own.write_text("area;note;rooms\n" + "".join(f"{i},5;a note {i};{i % 4}\n" for i in range(101)) + "torn\n")
    done = forked("init", own, "--target", "rooms", "--task", "regression", home=home)
    assert done.returncode == Exit.OK, done.stderr
    saved = schema.load(home.schema)
    assert saved is not None
    assert (saved.task, saved.decimal, saved.features) == ("regression", ",", ["area"])
    assert tomllib.loads(home.settings.read_text()) == {}
    assert saved.ignored == ["note"]
    assert "ignore" in done.stdout
    assert "an id" in done.stdout
    assert "decimal comma" in done.stderr
    assert "too few cells: 1." in done.stderr
    assert "Drops may contain the columns of kind `ignore`" in done.stderr


def test_init_says_what_is_unusual_and_takes_advice(home: Home, tmp_path: Path) -> None:
    """Columns are left out or of another kind as told; the same as JSON; what can be done next is named."""
    own = tmp_path / "own.csv"
    own.write_text("id,zip,age,fee,y\n" + "".join(f"{i},{i % 5},{i * 7 % 50},{i}.5,{i % 4}\n" for i in range(100)))
    done = forked("init", own, "--target", "y", "--kind", "zip=category", "--ignore", "age", "--json", home=home)
    assert done.returncode == Exit.OK, done.stderr
    printed = json.loads(done.stdout)
    lines = {line["column"]: (line["kind"], line["why"]) for line in printed["columns"]}
    assert lines["zip"] == ("category", "")
    assert lines["age"] == ("ignore", "as you said")
    assert lines["id"] == ("ignore", "a row number")
    assert lines["y"] == ("target", "classification: 0, 1, 2, 3 (4 whole numbers; --task regression for the other)")
    assert printed["schema"]["ignored"] == ["id", "age"]
    assert "retraind schema --kind COL=KIND" in done.stderr
    assert "Next: retraind run" in done.stderr


def test_schema_is_shown_and_changed_without_a_restart(home: Home, tmp_path: Path) -> None:
    """A column leaves, another gets another kind, a marker is added."""
    own = tmp_path / "own.csv"
    own.write_text("a,zip,n,y\n" + "".join(f"{i % 9},{i % 5},{i % 7},{i % 2}\n" for i in range(50)))
    assert forked("init", own, "--target", "y", home=home).returncode == Exit.OK
    done = forked("schema", "--ignore", "a", "--kind", "zip=category", "--missing", "NA", "--json", home=home)
    assert done.returncode == Exit.OK, done.stderr
    saved = schema.load(home.schema)
    assert saved is not None
    assert (saved.features, saved.ignored, saved.missing_values) == (["zip", "n"], ["a"], ["NA"])
    assert saved.columns[0].kind == "category"
    assert json.loads(done.stdout)["schema"] == saved.model_dump()


def test_init_refuses_a_home_that_run_refuses(tmp_path: Path) -> None:
    """Before anything is made in it."""
    own = tmp_path / "own.csv"
    own.write_text("a,y\n1,x\n2,z\n")
    place = Home(tmp_path / "50%")
    done = forked("init", own, "--target", "y", home=place)
    assert (done.returncode, place.root.exists()) == (Exit.USAGE, False)
    assert "must not have '%'" in done.stderr


def test_init_names_classes_that_look_alike(home: Home, tmp_path: Path) -> None:
    """They stay what they are; a person decides whether they are the same."""
    own = tmp_path / "mail.csv"
    own.write_text("words,kind\n" + "1,Spam\n2,spam\n3,ham\n" * 5)
    done = forked("init", own, "--target", "kind", home=home)
    assert "These classes differ only in case or spaces: 'Spam', 'spam'." in done.stderr
