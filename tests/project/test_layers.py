"""Heavy libraries: each is known to the modules of a table, and processes that start fast load none (pyproject.toml has the layers)."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retraind.daemon.core.home import Home
from retraind.daemon.storage.journal import Journal

ROOT = Path(__file__).parents[2]

HEAVY = {
    "watchdog": {"retraind.daemon.inbox.watcher"},
    "apprise": {"retraind.daemon.notify.targets.apprise_process"},  # only where `notify.urls_file` is set
    "botocore": {"retraind.daemon.objects.s3"},  # only where `storage.url` is set
    "dvc": {"retraind.daemon.dataset.dvc"},
    "mlflow": {
        "retraind.daemon.registry.registry",
        "retraind.daemon.registry.table_model",
        "retraind.daemon.export.scripts.mlflow_example",
    },  # in the trainer's process; and a file that is copied
    "pandas": {
        "retraind.daemon.registry.registry",
        "retraind.daemon.registry.table_model",
        "retraind.daemon.portable.columns",
        "retraind.daemon.export.scripts.mlflow_example",
        "retraind.daemon.export.scripts.pickle_example",
    },
    "sqlalchemy": {
        "retraind.daemon.storage.journal_tables",
        "retraind.daemon.storage.journal_retention",
        "retraind.daemon.storage.database",
        "retraind.daemon.storage.database_file",
        "retraind.daemon.storage.server.catching_up",
        "retraind.daemon.storage.server.copies",
        "retraind.daemon.storage.server.database",
        "retraind.daemon.storage.server.leadership",
        "retraind.daemon.storage.server.node_rows",
        "retraind.daemon.storage.server.session",
        "retraind.daemon.storage.server.tables",
        "retraind.daemon.storage.server.takeover",
        "retraind.daemon.storage.entries.acknowledgements",
        "retraind.daemon.storage.entries.batches",
        "retraind.daemon.storage.entries.drift_checks",
        "retraind.daemon.storage.entries.drops",
        "retraind.daemon.storage.entries.erasures",
        "retraind.daemon.storage.entries.events",
        "retraind.daemon.storage.entries.exams",
        "retraind.daemon.storage.entries.key_values",
        "retraind.daemon.storage.entries.held_drops",
        "retraind.daemon.storage.entries.labels",
        "retraind.daemon.storage.entries.notices",
        "retraind.daemon.storage.entries.requests",
        "retraind.daemon.storage.entries.runs",
        "retraind.daemon.storage.entries.segments",
        "retraind.daemon.storage.entries.swaps",
        "retraind.daemon.storage.entries.versions",
    },
    "psycopg": {
        "retraind.daemon.records.server.reader",
        "retraind.daemon.storage.mlflow.mlflow_connection",
        "retraind.daemon.storage.mlflow.mlflow_copies",
        "retraind.daemon.storage.server.node_session",
    },
    "sklearn": {
        "retraind.daemon.model",
        "retraind.daemon.blend",
        "retraind.daemon.encoding",
        "retraind.daemon.kernel",
        "retraind.daemon.training.metrics",
        "retraind.daemon.training.selection.candidates",
        "retraind.daemon.training.selection.foreign",
        "retraind.daemon.training.selection.calibration",
        "retraind.daemon.training.selection.cross_validation",
        "retraind.daemon.training.selection.report_metrics",
        "retraind.daemon.portable.pipeline",
        "retraind.daemon.portable.answers",
        "retraind.daemon.portable.columns",
        "retraind.daemon.training.export.linear_export",
        "retraind.daemon.training.export.onnx_export",
        "retraind.daemon.training.export.onnx_linear",
        "retraind.daemon.training.export.skl2onnx_graph",
        "retraind.daemon.training.plots",
        "retraind.daemon.training.run",
    },
    "matplotlib": {"retraind.daemon.training.plots"},
    "skl2onnx": {"retraind.daemon.training.export.skl2onnx_graph"},
    "onnx": {
        "retraind.daemon.artifacts.explaining.graph_core",  # in a process that is asked to explain
        "retraind.daemon.export.onnx_graph",
        "retraind.daemon.export.onnx_inputs",
        "retraind.daemon.export.onnx_treelite",
        "retraind.daemon.training.export.onnx_export",
        "retraind.daemon.training.export.onnx_trees",
        "retraind.daemon.training.export.category_sets",
        "retraind.daemon.training.export.onnx_blend",
        "retraind.daemon.training.export.onnx_encoding",
        "retraind.daemon.training.export.onnx_linear",
        "retraind.daemon.training.export.onnx_nodes",
        "retraind.daemon.training.export.skl2onnx_graph",
    },
    "onnxruntime": {
        "retraind.daemon.artifacts.backends",
        "retraind.daemon.training.run",
        "retraind.daemon.export.scripts.onnx_example",
    },
    "treelite": {"retraind.daemon.artifacts.treelite_model"},
    "skops": {  # they load, write, and have MLflow write
        "retraind.daemon.artifacts.backends",
        "retraind.daemon.training.export.export",
        "retraind.daemon.registry.registry",
        "retraind.daemon.registry.skops_file",
        "retraind.daemon.export.estimator",
    },
    "scipy": {
        "retraind.daemon.drift.two_sample",
        "retraind.daemon.training.losses",
        "retraind.daemon.training.evaluation.holdouts",
        "retraind.daemon.training.selection.calibration",
        "retraind.daemon.encoding",
        "retraind.daemon.kernel",
    },
    "river": {"retraind.daemon.drift.adwin"},
    "pyarrow": {
        "retraind.daemon.tabular.arrow_without_pandas",
        "retraind.daemon.tabular.column_types",
        "retraind.daemon.tabular.row_times",
        "retraind.daemon.training.data.holdout_assignment",
        "retraind.daemon.tabular.id_columns",
        "retraind.daemon.cli.schema_changes",
        "retraind.daemon.tabular.row_hashes",
        "retraind.daemon.tabular.infer_column",
        "retraind.daemon.tabular.schema_growth",
        "retraind.daemon.dataset.segment_writer",
        "retraind.daemon.dataset.segments",
        "retraind.daemon.tabular.csv_table",
        "retraind.daemon.tabular.rows",
        "retraind.daemon.tabular.csv_profile",
        "retraind.daemon.tabular.date_cells",
        "retraind.daemon.dataset.segment_folder",
        "retraind.daemon.ingest.reading.reader",
        "retraind.daemon.ingest.reading.joined_files",
        "retraind.daemon.ingest.reading.late_labels",
        "retraind.daemon.ingest.exam_runner",
        "retraind.daemon.cli.text_relevance",
        "retraind.daemon.tabular.checks.cells",
        "retraind.daemon.tabular.checks.unlabelled_rows",
        "retraind.daemon.predicting.answers",
        "retraind.daemon.predicting.csv_lines",
        "retraind.daemon.predicting.file_answers",
        "retraind.daemon.predicting.outbox.prediction_file",
        "retraind.daemon.predicting.sources",
        "retraind.daemon.predicting.parquet_source",
        "retraind.daemon.predicting.parquet_reader",  # a process of its own
        "retraind.web.columnar.drop_profile",  # a process of its own
        "retraind.web.columnar.reader",  # a process of its own
    },
    "apscheduler": {"retraind.daemon.retraining.schedule"},
    "typer": {
        "retraind.daemon.cli.options",
        "retraind.daemon.cli.ask_daemon",
        "retraind.daemon.cli.commands",
        "retraind.daemon.cli.drop_commands",
        "retraind.daemon.cli.export_command",
        "retraind.daemon.cli.home_commands",
        "retraind.daemon.cli.model_commands",
        "retraind.daemon.cli.notify_commands",
        "retraind.daemon.cli.predict_command",
        "retraind.daemon.cli.schema_commands",
        "retraind.daemon.cli.service_commands",
        "retraind.daemon.cli.token_commands",
        "retraind.daemon.cli.top.command",
        "retraind.daemon.cli.report.say",
        "retraind.daemon.cli.completion.command",
        "retraind.daemon.cli.completion.completing",
        "retraind.daemon.cli.completion.values",
    },
    "rich": {
        "retraind.web.terminal.live",
        "retraind.web.terminal.screen",
        "retraind.daemon.cli.follow",
        "retraind.daemon.cli.report.drops",
        "retraind.daemon.cli.report.explanation",
        "retraind.daemon.cli.report.lineage_tree",
        "retraind.daemon.cli.report.schema_table",
        "retraind.daemon.cli.report.terminal",
        "retraind.daemon.cli.report.versions",
    },
    "tomlkit": {"retraind.daemon.core.settings.settings_file"},
    "bottle": {
        "retraind.web.api.app",
        "retraind.web.api.own_routes",
        "retraind.web.api.direct_route",
        "retraind.web.http.problems",
    },
    "granian": {"retraind.web.server.granian"},
    "uvloop": {"retraind.web.server.granian"},
    "jinja2": {"retraind.web.pages.templates"},
    "prometheus_client": {"retraind.web.api.prometheus"},
}

MODULES = sorted(path for package in ("daemon", "web") for path in (ROOT / package).rglob("*.py"))


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, wherever in it, with dots: `numpy.typing`."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_library_is_known_to_its_modules_only(library: str) -> None:
    """Replacing a library means changing the modules of the table, and each of them still needs it."""
    users = {
        ".".join(("retraind", *path.relative_to(ROOT).with_suffix("").parts))
        for path in MODULES
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users == HEAVY[library]


def test_database_is_asked_in_two_packages_only() -> None:
    """Another database means changing `daemon/storage` and `daemon/records`, and nothing else."""
    sql = re.compile(r"\b(SELECT|INSERT INTO|DELETE FROM)\b")
    outside = [path for path in MODULES if not {"storage", "records"} & set(path.relative_to(ROOT).parts)]
    texts = (
        (path, node.value)
        for path in outside
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    )
    assert [path for path, text in texts if isinstance(text, str) and sql.search(text)] == []


def test_every_package_says_what_it_is_for() -> None:
    """One sentence, and at most 17 modules beside it."""
    for path in (path for path in MODULES if path.name == "__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path
        assert len(list(path.parent.glob("*.py"))) <= 18, path


TRAINING = {"sklearn", "pandas", "mlflow", "skl2onnx", "matplotlib", "scipy", "treelite"}
"""What only a training needs."""

UNUSED = {"pydantic_settings", "structlog", "apscheduler.schedulers"}
"""What no process of ours needs: each takes a tenth of a second or more to import."""


def loaded(code: str) -> set[str]:
    """Modules in memory after `code` has run in a fresh interpreter."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_worker_loads_no_heavy_library() -> None:
    """An HTTP worker is up in a blink: what pages, metrics and the OpenAPI document need comes with the first request for them."""
    others = TRAINING | UNUSED | {"dvc", "psycopg", "pyarrow", "rich", "sqlalchemy", "typer", "watchdog"}
    late = {"jinja2", "prometheus_client", "retraind.web.dashboard", "retraind.web.openapi", "retraind.web.pages"}
    assert not loaded("import retraind.web.server.__main__") & (others | late)
    assert (
        not loaded(
            "import retraind.web.server.__main__, retraind.web.pages.overview, retraind.web.pages.table, retraind.web.api.prometheus, retraind.web.openapi.document"
        )
        & others
    )


def test_command_line_and_service_start_without_heavy_libraries() -> None:
    """`retraind --help`, and the daemon until its workers run, wait for none of them."""
    heavy = TRAINING | UNUSED | {"apscheduler", "dvc", "granian", "numpy", "pyarrow", "rich", "sqlalchemy", "watchdog"}
    assert (
        not loaded(
            "import retraind.daemon.cli.commands, retraind.daemon.cli.service_commands, retraind.daemon.service.service"
        )
        & heavy
    )


def test_daemon_loads_only_what_takes_drops_and_serves() -> None:
    """What only a training needs is not even in reach: `parts` has every module of the loop, `loop` all of its duties."""
    heavy = TRAINING | UNUSED | {"dvc", "onnx", "onnxruntime", "psycopg", "rich", "retraind.daemon.notify"}
    arrays = (
        "import pyarrow; arrow_without_pandas.without_pandas(); pyarrow.table({'x': pyarrow.array([1])}).to_pydict()"
    )
    assert (
        not loaded(
            f"import retraind.daemon.service.loop; from retraind.daemon.tabular import arrow_without_pandas; {arrays}"
        )
        & heavy
    )


def test_trainer_leaves_out_what_serves_language_models() -> None:
    """A question for one of their names would run the deferred packages of MLflow, and take a quarter of the trainer's start."""
    run_by_a_question = {"fastapi", "mlflow.genai.agent_tester", "mlflow.genai.scorers.builtin_scorers"}
    assert not loaded("from retraind.daemon.training import warming; warming.load()") & run_by_a_question


def test_doctor_loads_the_model_and_no_rows() -> None:
    """It reads every byte of a home without pyarrow; the modules of the loop are none of its own."""
    heavy = TRAINING | UNUSED | {"dvc", "granian", "pyarrow", "sqlalchemy", "watchdog"}
    assert not loaded("import retraind.daemon.cli.doctor, retraind.daemon.cli.home_commands") & heavy


def test_files_are_predicted_without_what_trains() -> None:
    """`retraind predict` needs Arrow and the model's backend; Parquet's reader is imported for Parquet."""
    heavy = (
        TRAINING | UNUSED | {"apscheduler", "dvc", "granian", "psycopg", "sqlalchemy", "watchdog", "pyarrow.parquet"}
    )
    assert not loaded("from retraind.daemon.predicting import file_job, served_version, answers") & heavy


def test_commands_load_what_they_print_with(home: Home, journal: Journal) -> None:
    """One after the other in one process: reports and requests need neither DVC, MLflow, numpy, pyarrow nor SQLAlchemy."""
    assert journal
    words = (
        "versions",
        "status",
        "drops",
        "drops x",
        "lineage 1",
        "accept x",
        "retrain",
        "promote",
        "rollback",
        "token list",
        "schema",
    )
    run = """
import contextlib, sys
from retraind.daemon.cli.commands import main
for words in %r:
    sys.argv = ["retraind", *words.split(), "--home", %r]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):
        main()
"""
    heavy = TRAINING | UNUSED | {"dvc", "granian", "numpy", "onnxruntime", "pyarrow", "sqlalchemy"}
    assert not loaded(run % (words, str(home.root))) & heavy
