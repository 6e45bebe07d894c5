"""retraind predict: bad rows, files without rows, and mistakes; each has a sentence and a code."""

from pathlib import Path

import flowers
import pytest
from commands import forked
from flowers import FLOWER_FILE, HEADER, read

from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home

flower_home = pytest.fixture(flowers.flower_home)


def test_bad_rows_go_to_a_file_of_their_own(flower_home: Home, tmp_path: Path) -> None:
    """With line, column and reason; corrected, they are answered, without these three columns."""
    file, out = tmp_path / "flowers.csv", tmp_path / "answers.csv"
    file.write_text(FLOWER_FILE + "3,wide,3,1,1\n4,1,2,3\n5,1,2,3,4\n6,1e101,2,3,4\n")
    done = forked("predict", file, "-o", out, home=flower_home)
    bad = tmp_path / "answers.bad.csv"
    assert done.returncode == Exit.INCOMPLETE
    assert f"answered 4 of 7 rows, 3 bad (see {bad})" in done.stderr
    assert [row["id"] for row in read(out.read_text())] == ["0", "1", "2", "5"]
    assert [(row["_line"], row["_column"], row["id"]) for row in read(bad.read_text())] == [
        ("5", "sepal_length", "3"),
        ("6", "", "4"),
        ("8", "sepal_length", "6"),
    ]
    bad.write_text(bad.read_text().replace("wide", "5").replace("4,1,2,3\n", "4,1,2,3,4\n").replace("1e101", "1"))
    again = read(forked("predict", bad, home=flower_home).stdout)
    assert [next(iter(row)) for row in again] == ["id"] * 3


def test_bad_rows_are_named_if_they_go_nowhere(flower_home: Home, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FLOWER_FILE + "3,wide,3,1,1\n")
    done = forked("predict", tmp_path / "f.csv", home=flower_home)
    assert done.returncode == Exit.INCOMPLETE
    assert "row 4, sepal_length: 'wide' is not a number." in done.stderr
    assert len(read(done.stdout)) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The file is empty."),
        (
            "a,b\n1,2\n",
            "line 1: The columns 'sepal_length', 'sepal_width', 'petal_length', 'petal_width' are missing; the header has: a, b.",
        ),
        (f"{HEADER}\n", "The file has a header and no rows"),
        (f"{HEADER}\n1,x,2,3,4\n", "No row is good, the first because: 'x' is not a number."),
        (f"prediction,{HEADER}\n1,1,2,3,4,5\n", "a column 'prediction', the name of an answer's column"),
        (f'{HEADER}\n1,"2,3,4,5\n', "A quote opens here and is never closed."),
        ("\0", "NUL byte"),
    ],
)
def test_file_that_is_not_one_of_rows(flower_home: Home, tmp_path: Path, text: str, reason: str) -> None:
    """A sentence, a code of its own, and no file of answers."""
    (tmp_path / "f.csv").write_text(text)
    done = forked("predict", tmp_path / "f.csv", "-o", tmp_path / "o.csv", home=flower_home)
    assert done.returncode == Exit.NOT_ROWS
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["f.csv"]


def test_mistakes_have_their_codes(flower_home: Home, tmp_path: Path) -> None:
    """Nothing is written, and each says what to do."""
    file = tmp_path / "f.csv"
    file.write_text(FLOWER_FILE)
    empty = Home(tmp_path / "empty")
    empty.make()
    cases = [
        ((tmp_path / "gone.csv",), flower_home, Exit.NOT_FOUND, "No such file"),
        ((tmp_path,), flower_home, Exit.NOT_FOUND, "is a folder"),
        ((file, "--version", 9), flower_home, Exit.NOT_FOUND, "no version 9"),
        ((file,), empty, Exit.NOT_FOUND, "No version serves"),
        ((file, "-o", file), flower_home, Exit.USAGE, "read or written already"),
        ((file, "-o", tmp_path / "o.csv", "--bad", tmp_path / "o.csv"), flower_home, Exit.USAGE, "written already"),
        ((file, "-o", tmp_path / "no" / "o.csv"), flower_home, Exit.USAGE, "folder is missing"),
        ((file, "--json"), flower_home, Exit.USAGE, "--json needs -o"),
    ]
    for arguments, home, code, part in cases:
        done = forked("predict", *arguments, home=home)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert part in done.stderr
    assert file.read_text() == FLOWER_FILE
    assert list(empty.bundles.iterdir()) == []


def test_damaged_bundle_answers_nothing(flower_home: Home, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FLOWER_FILE)
    model = flower_home.bundle(1) / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    done = forked("predict", tmp_path / "f.csv", home=flower_home)
    assert (done.returncode, done.stdout) == (Exit.DAMAGED, "")
    assert "is not the file that was recorded" in done.stderr
