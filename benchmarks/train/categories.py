"""Categories of many names: each candidate on a file, with codes and with mean targets, cross-validated.

python -m benchmarks.train.categories FILE TARGET [COL=KIND …]
"""

import sys
import time
from pathlib import Path

from retraind.daemon.cli import schema_changes
from retraind.daemon.core.settings import Inbox, Train
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import csv_profile, csv_table, infer_schema, rows
from retraind.daemon.tabular.schema_growth import grown
from retraind.daemon.training.selection import candidates
from retraind.daemon.training.selection.candidates import ENCODED
from retraind.daemon.training.selection.cross_validation import Trial

MOST = 1 << 30


def schema_of(path: Path, target: str, choices: list[str]) -> Schema:
    """What `init` would write, without missing values that drops can't have."""
    inferred = infer_schema.of(path, target, kinds=schema_changes.choices(choices)).schema
    return grown(inferred, columns=[grown(one, missing=True) for one in inferred.columns])


def main() -> None:
    """Print the score of each candidate: accuracy or R², log loss or RMSE, seconds."""
    path, target, *choices = sys.argv[1:]
    schema = schema_of(Path(path), target, choices)
    file = csv_profile.opened(Path(path), MOST)
    parts = [chunk.table for chunk in csv_table.chunks(file, csv_table.examine(file, [target]))]
    checked = rows.check(parts[0], schema, Inbox()).table
    many = [f"{one.name} ({len(one.categories)})" for one in schema.columns if len(one.categories) >= candidates.MANY]
    print(f"{path}: {checked.num_rows} rows, many names: {', '.join(many)}")
    targets = rows.targets(checked, schema) if schema.task == "regression" else rows.codes(checked, schema)
    settings = Train(candidates=[name for name in candidates.NAMES[schema.task] if name in candidates.ENCODABLE])
    trial = Trial(schema, rows.matrix(checked, schema), targets, settings)
    for candidate in candidates.plan(schema, settings):
        started = time.process_time()
        scored = trial.of(candidate)
        spent = time.process_time() - started
        print(
            f"{candidate.name.replace(ENCODED, 'encoded'):24} {scored.score:8.4f} {scored.loss:10.5g} {spent:6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
