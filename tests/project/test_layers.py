"""Heavy libraries: each is known to the modules of a table, and processes that start fast load none (pyproject.toml has the layers)."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from heavy_modules import HEAVY

from retraind.daemon.core.home import Home
from retraind.daemon.storage.journal import Journal

ROOT = Path(__file__).parents[2]

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


METADATA = {"importlib.metadata"}
"""pydantic's search for plugins would import it, and email, in every process (see `retraind.daemon`)."""

OPTIONAL = {
    "apscheduler",
    "psycopg",
    "retraind.daemon.history",
    "retraind.daemon.inbox.bucket",
    "retraind.daemon.leadership",
    "retraind.daemon.nodes",
    "retraind.daemon.notify",
    "retraind.daemon.objects.s3",
    "retraind.daemon.storage.server",
}
"""What the daemon needs only with some setting that a home without settings does not have."""

COMMAND = "import retraind.daemon.cli.commands, retraind.daemon.cli.service_commands"

OWN = {
    f"{COMMAND}, retraind.daemon.service.service": 90,
    "import retraind.web.server.__main__": 178,
    "import retraind.daemon.service.loop": 318,
    f"{COMMAND}, retraind.daemon.cli.report.health, retraind.daemon.cli.report.attention": 128,
    "import retraind.daemon.cli.commands, retraind.daemon.cli.home_commands, retraind.daemon.cli.doctor": 127,
}
"""Maximum number of our own modules for the first steps of a start, a worker, the loop, `retraind status` and `retraind doctor`.

Each costs half a millisecond. A larger number is a decision: first see whether a module is needed only with some
setting, or only at some request.
"""


@pytest.mark.parametrize("code", OWN)
def test_start_imports_few_of_our_own_modules(code: str) -> None:
    """A home without settings does not pay for what other homes use."""
    own = sorted(name for name in loaded(code) if name.partition(".")[0] == "retraind")
    assert len(own) <= OWN[code], own


@functools.cache
def loaded(code: str) -> frozenset[str]:
    """Modules in memory after `code` has run in a fresh interpreter."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


def test_worker_loads_no_heavy_library() -> None:
    """An HTTP worker is up in a blink: what pages, metrics and the OpenAPI document need comes with the first request for them."""
    others = TRAINING | UNUSED | {"dvc", "psycopg", "pyarrow", "rich", "sqlalchemy", "typer", "watchdog"}
    packages = {f"retraind.web.{name}" for name in ("dashboard", "lists", "openapi", "pages", "uploads")}
    late = packages | METADATA | {"jinja2", "prometheus_client", "retraind.daemon.records.search"}
    assert not loaded("import retraind.web.server.__main__") & (others | late)
    assert (
        not loaded(
            "import retraind.web.server.__main__, retraind.web.pages.overview, retraind.web.pages.table, retraind.web.api.prometheus, retraind.web.openapi.document"
        )
        & others
    )


def test_command_line_and_service_start_without_heavy_libraries() -> None:
    """`retraind --help`, and the daemon until its workers run, wait for none of them."""
    libraries = {"apscheduler", "dvc", "granian", "numpy", "pyarrow", "rich", "sqlalchemy", "watchdog"}
    assert not loaded(f"{COMMAND}, retraind.daemon.service.service") & (TRAINING | UNUSED | METADATA | libraries)


def test_daemon_loads_only_what_takes_drops_and_serves() -> None:
    """What only a training needs is not even in reach: `parts` has every module of the loop, `loop` all of its duties."""
    heavy = TRAINING | UNUSED | OPTIONAL | {"dvc", "onnx", "onnxruntime", "rich"}
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
    heavy = TRAINING | UNUSED | METADATA | {"dvc", "granian", "pyarrow", "rich", "sqlalchemy", "watchdog"}
    late = {"http.client", "retraind.daemon.objects.ownership", "retraind.web.dashboard.answers"}
    assert not loaded("import retraind.daemon.cli.doctor, retraind.daemon.cli.home_commands") & (heavy | late)


def test_status_waits_for_no_console_and_no_page(home: Home, journal: Journal) -> None:
    """It asks the page's code for its answers alone, and prints plain lines: no tables, and no request to another machine."""
    assert journal
    run = f"""
import contextlib, sys
from retraind.daemon.cli.commands import main
sys.argv = ["retraind", "status", "--home", {str(home.root)!r}]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):
    main()
"""
    modules = loaded(run)
    assert "retraind.web.dashboard.answers.questions" in modules
    assert not modules & (METADATA | {"rich", "http.client", "numpy", "retraind.web.dashboard.document"})


def test_files_are_predicted_without_what_trains() -> None:
    """`retraind predict` needs Arrow and the model's backend; Parquet's reader is imported for Parquet."""
    heavy = (
        TRAINING | UNUSED | {"apscheduler", "dvc", "granian", "psycopg", "sqlalchemy", "watchdog", "pyarrow.parquet"}
    )
    assert not loaded("from retraind.daemon.predicting import file_job, served_version, answers") & heavy


def test_export_loads_what_the_format_needs() -> None:
    """A version that can't be exported is refused before scikit-learn is loaded, and a graph is made without MLflow and skops."""
    heavy = (TRAINING | UNUSED) - {"onnxruntime"}
    assert not loaded("import retraind.daemon.export.export, retraind.daemon.cli.export_command") & heavy
    assert not loaded("import retraind.daemon.export.formats") & {"mlflow", "skops"}


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
