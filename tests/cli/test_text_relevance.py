"""retraind.daemon.cli.text_relevance: a free text becomes a feature where its words help, and it is said why or why not."""

import csv
from functools import partial
from pathlib import Path

import numpy as np

from retraind.daemon.cli import text_relevance
from retraind.daemon.tabular import infer_schema
from retraind.daemon.tabular.csv_profile import Choice
from retraind.daemon.tabular.schema_draft import Draft

MOST = 1 << 30


def letters(path: Path, count: int = 300) -> Path:
    """One text that says the label, one that says nothing, names of ids, and a number."""
    random = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["size", "subject", "noise", "sender_id", "y"])
        for number in range(count):
            spam = random.random() < 0.4
            words = " ".join(f"w{at}" for at in random.integers(0, 100, 5))
            subject = f"{words} {'win a prize' if spam else 'minutes of the meeting'}, {number}"
            noise = " ".join(f"v{at}" for at in random.integers(0, 100, 5))
            lines.writerow([f"{random.normal():.3f}", subject, noise, f"s{number:04}", "spam" if spam else "ham"])
    return path


def draft_of(path: Path, **kinds: Choice) -> Draft:
    draft = infer_schema.of(path, "y", kinds=kinds)
    return text_relevance.with_texts(path, draft, MOST, partial(infer_schema.of, path, "y", None, MOST, None), kinds)


def test_text_that_helps_is_a_feature_and_another_is_not(tmp_path: Path) -> None:
    draft = draft_of(letters(tmp_path / "mail.csv"))
    assert [(one.name, one.kind) for one in draft.schema.columns] == [("size", "number"), ("subject", "text")]
    assert "its words help (log loss" in draft.notes["subject"]
    assert "its words do not help (log loss" in draft.left_out["noise"]
    assert "--kind 'noise'=text takes it in" in draft.left_out["noise"]
    assert "its words" not in draft.left_out["sender_id"]
    assert draft.schema.ignored == ["noise", "sender_id"]


def test_text_in_too_few_rows_is_left_out_with_the_reason(tmp_path: Path) -> None:
    path = letters(tmp_path / "mail.csv", 300)
    lines = path.read_text().splitlines()
    # Rows that are bad for another reason leave too few.
    bad = [line if at % 4 == 0 else line.replace(",s0", ",s0,", 1) for at, line in enumerate(lines)]
    path.write_text("\n".join(bad) + "\n")
    opinion = text_relevance.of(path, infer_schema.of(letters(tmp_path / "whole.csv"), "y"), MOST)["subject"]
    assert not opinion.useful
    assert "good rows" in opinion.why


def test_text_alone_is_what_there_is_to_learn_from(tmp_path: Path) -> None:
    """The commonest file of texts has a label and a text: it is read by its words without a question."""
    path = letters(tmp_path / "mail.csv")
    draft = infer_schema.of(path, "y", kinds=dict.fromkeys(["size", "noise"], "ignore"))
    assert [(one.name, one.kind) for one in draft.schema.columns] == [("subject", "text")]
    assert draft.notes == {"subject": "free text: read by its words"}
