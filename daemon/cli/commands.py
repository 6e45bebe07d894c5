"""The command line. Data goes to standard output, messages to standard error, exit codes are `daemon.core.errors.Exit`.

Commands import what they need when they run: `retraind --help` and the start of `run` must not wait for MLflow.
"""

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli import token_commands
from daemon.cli.options import HERE, HomeOption, JsonOption, load, visit
from daemon.core import file_modes, requests, status
from daemon.core.errors import AlreadyRunning, BadSettings, Exit, NotFound, RetraindError
from daemon.core.home import Home
from daemon.core.states import RequestState
from daemon.processes.stop_signals import Wake
from daemon.schema.class_labels import alike
from daemon.schema.notation import Order
from daemon.schema.schema import Task

if TYPE_CHECKING:
    from daemon.tabular.schema_draft import Draft

app = typer.Typer(
    name="retraind",
    help="A model that retrains itself from the labelled CSV files you drop into a folder.\n\nExample: retraind run --home .",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(token_commands.app)


def _version(meaning: str) -> Any:
    """A version's number; one beyond LARGEST is none, and the journal could not look it up."""
    return typer.Argument(min=1, max=requests.LARGEST, help=meaning)


IGNORE = typer.Option("--ignore", metavar="COL", help="A column that is not read; repeat it for more.")
KIND = typer.Option(
    "--kind", metavar="COL=KIND", help="number, integer, boolean, category, date, text or ignore; repeat it."
)


def _limit(meaning: str) -> Any:
    return typer.Option(min=1, max=requests.LARGEST, help=meaning)


def main() -> None:
    """Entry point: expected errors become a sentence and an exit code, others a traceback and exit code 1."""
    file_modes.private()
    try:
        app()
    except RetraindError as error:
        typer.echo(f"retraind: {error}", err=True)
        sys.exit(error.exit)


def _listening() -> Wake:
    """What hears SIGTERM and Ctrl-C from now on."""
    wake = Wake()
    wake.listen()
    return wake


@app.command()
def run(
    home: HomeOption = HERE,
    host: Annotated[str | None, typer.Option(help="Overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides server.port; 0 takes a free one.")] = None,
) -> None:
    """Run everything: watch the inbox, retrain, serve, show the dashboard.

    Example: retraind run --port 5000
    """
    wake = _listening()
    place, loaded = load(home, host=host, port=port)
    from daemon.service import service

    service.run(place, loaded, wake)


@app.command()
def serve(
    home: HomeOption = HERE,
    host: Annotated[str | None, typer.Option(help="Overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides server.port; 0 takes a free one.")] = None,
) -> None:
    """Only answer over HTTP, without the daemon: nothing is ingested or trained.

    Example: retraind serve --port 5001
    """
    wake = _listening()
    place, loaded = load(home, host=host, port=port)
    from daemon.service import service

    service.serve(place, loaded, wake)


@app.command()
def ingest(
    file: Annotated[Path, typer.Argument(help="A labelled CSV file.")],
    home: HomeOption = HERE,
) -> None:
    """Drop a copy of a file into the inbox, whole and durable.

    Example: retraind ingest examples/iris-more.csv
    """
    place, _ = load(home)
    from daemon.core import durable
    from daemon.core.inbox_names import ignored

    place.make()
    if not file.is_file():
        raise NotFound(f"{file} is not a file.", hint="Name a labelled CSV file.")
    name = f"{file.stem}.csv" if ignored(file.name) else file.name
    if ignored(name) or (place.inbox / name).exists():
        name = f"{durable.sha256_file(file)[:8]}-{name}"
    durable.write(place.inbox / name, file.read_bytes())
    typer.echo(f"inbox/{name}")
    _warn_if_down(place)


@app.command()
def retrain(
    home: HomeOption = HERE,
    force: Annotated[bool, typer.Option("--force", help="Also when there are no new rows.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show how it goes until there is a verdict.")] = False,
    json_: JsonOption = False,
) -> None:
    """Ask for a training; exit code 8 means that it was declined, with --follow also that its version was refused.

    Example: retraind retrain --force --follow
    """
    if follow:
        _follow(home, json_, force=force)
    else:
        _submit(home, json_, "retrain", force=force)


def _follow(home: Path, json_: bool, *, force: bool) -> None:
    place, _ = load(home)
    from daemon.cli import follow

    place.make()
    before = follow.last_run(place)
    request = requests.ask(place, "retrain", force=force)
    code, facts = follow.follow(place, request.id, before)
    typer.echo(json.dumps({"request": request.id, **facts}) if json_ else facts["sentence"])
    raise typer.Exit(code)


@app.command()
def promote(
    version: Annotated[int | None, _version("Default: the challenger that waits.")] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Serve a version, by default the challenger that was held.

    Example: retraind promote 4
    """
    _submit(home, json_, "promote", version=version)


@app.command()
def refuse(
    version: Annotated[int | None, _version("Default: the challenger that waits.")] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Give up a version that waits: it is tried no more.

    Example: retraind refuse
    """
    _submit(home, json_, "refuse", version=version)


@app.command()
def rollback(
    version: Annotated[int | None, _version("Default: the version served before.")] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Serve an earlier version again.

    Example: retraind rollback
    """
    _submit(home, json_, "rollback", version=version)


def _submit(home: Path, json_: bool, kind: requests.Kind, **fields: Any) -> bool:
    """Make a request; True: the daemon has answered it, and what it said is told."""
    place, _ = load(home)
    place.make()
    request = requests.ask(place, kind, **fields)
    typer.echo(json.dumps({"request": request.id}) if json_ else f"request {request.id}")
    return not _warn_if_down(place) and _await(place, request.id)


def _await(place: Home, request: str) -> bool:
    """Say what the daemon answers; exit code 8 if it refuses, False if it does not come to it."""
    from daemon.cli import follow, report

    found = follow.answer(place, request)
    state, sentence = found or (RequestState.QUEUED, f"not answered yet; see GET /requests/{request}.")
    typer.echo(f"retraind: {report.printable(sentence)}", err=True)
    if state == RequestState.REFUSED:
        raise typer.Exit(Exit.REFUSED)
    return found is not None


def _warn_if_down(place: Home) -> bool:
    daemon = status.read(place.status)
    down = daemon is None or not daemon.alive
    if down:
        typer.echo("retraind: the daemon is not running; it will see to this when it starts.", err=True)
    return down


@app.command(name="status")
def show_status(home: HomeOption = HERE, json_: JsonOption = False) -> None:
    """Say whether all is well; exit code 5 if not.

    Example: retraind status --json
    """
    place = visit(home)
    from daemon.cli import report

    facts = report.health(place)
    typer.echo(json.dumps(facts) if json_ else report.as_text(facts))
    raise typer.Exit(Exit.OK if facts["healthy"] else Exit.UNHEALTHY)


@app.command()
def versions(
    limit: Annotated[int, _limit("How many of the newest.")] = 100,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """List the newest versions with their verdicts.

    Example: retraind versions
    """
    place = visit(home)
    from daemon.cli import report

    found = report.versions(place, limit)
    if json_:
        typer.echo(json.dumps(found))
    else:
        report.print_versions(found)


@app.command()
def drops(
    key: Annotated[str | None, typer.Argument(metavar="ID", help="Only this drop: its id, sha256 or name.")] = None,
    limit: Annotated[int, _limit("How many of the newest.")] = 20,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Say what became of the files that were dropped.

    Example: retraind drops iris-more.csv
    """
    place = visit(home)
    from daemon.cli import report

    if key is None:
        found = report.drops(place, limit)
        typer.echo(json.dumps(found)) if json_ else report.print_drops(found)
    else:
        one = report.drop(place, key)
        typer.echo(json.dumps(one)) if json_ else report.print_drop(one)


@app.command()
def accept(
    drop: Annotated[str, typer.Argument(help="Name or sha256 of a drop that is held; see `retraind drops`.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Let in a suspicious drop that is held (inbox.suspicious): its rows are trained on like any others.

    Example: retraind accept export.csv
    """
    _decide(home, json_, "accept", drop)


@app.command()
def reject(
    drop: Annotated[str, typer.Argument(help="Name or sha256 of a drop that is held; see `retraind drops`.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Turn away a suspicious drop that is held: it goes to inbox/rejected, with the reason.

    Example: retraind reject export.csv
    """
    _decide(home, json_, "reject", drop)


def _decide(home: Path, json_: bool, kind: requests.Kind, drop: str) -> None:
    place, _ = load(home)
    from daemon.cli import report

    _submit(home, json_, kind, drop=report.held_drop(place, drop)["sha256"])


@app.command()
def lineage(
    version: Annotated[int, _version("As `retraind versions` lists them.")],
    limit: Annotated[int, _limit("How many of the newest drops, batches and swaps.")] = 20,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Say where a version came from and where it went: from the drops of its training to its predictions.

    Example: retraind lineage 3
    """
    place, _ = load(home)
    from daemon.cli import lineage_tree, report

    found = report.version(place, version, limit)
    typer.echo(json.dumps(found)) if json_ else lineage_tree.show(found)


@app.command()
def reproduce(
    version: Annotated[int, _version("As `retraind versions` lists them.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Train a version again from its data revision and compare; exit code 7 if it is another model.

    Example: retraind reproduce 3
    """
    place, loaded = load(home)
    os.nice(loaded.train.nice)
    from daemon.training import reproduction

    found = reproduction.reproduce(place, version, loaded.train)
    typer.echo(json.dumps(found) if json_ else reproduction.sentence(found))
    raise typer.Exit(Exit.OK if found["equal"] else Exit.DIFFERENT)


@app.command()
def forget(
    drop: Annotated[str, typer.Argument(help="Its id or sha256, or a name that only it has; see `retraind drops`.")],
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also from refused files, predictions it labelled, and DVC's cache: older revisions are lost.",
        ),
    ] = False,
    find: Annotated[bool, typer.Option("--find", help="Only list where its rows still are.")] = False,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Remove a drop's rows from the dataset by a new revision, and train without them.

    Example: retraind forget poison.csv
    """
    place, _ = load(home)
    from daemon.cli import report

    found = report.drop_to_forget(place, drop)
    if find:
        _list_traces(place, found, json_)
        return
    answered = _submit(home, json_, "forget", drop=found["sha256"], purge=purge)
    if not purge and not answered:
        hint = "Older revisions in DVC's cache still hold its rows; --purge removes them there, and those revisions with them."
        typer.echo(f"retraind: {hint}", err=True)


def _list_traces(place: Home, drop: dict[str, Any], json_: bool) -> None:
    from daemon.cli.report import printable
    from daemon.ingest import erasure_traces
    from daemon.storage.journal import Journal

    with Journal.reading(place.journal) as journal:
        listed = erasure_traces.find(place, journal, drop)
    if json_:
        about = {key: drop[key] for key in ("id", "name", "sha256", "state")}
        typer.echo(json.dumps({**about, "traces": [one._asdict() for one in listed]}))
        return
    for one in listed:
        typer.echo(printable(f"{one.where}: {one.what} (until: {one.goes})"))


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="A CSV file (or .csv.gz) with a header: your own data.")],
    target: Annotated[str, typer.Option("--target", help="The column to be predicted.")],
    task: Annotated[Task | None, typer.Option("--task", help="Default: what the target looks like.")] = None,
    dates: Annotated[
        Order | None,
        typer.Option("--dates", help="Where 01/02/2024 may be two days; yy: years of two digits, 69 is 1969."),
    ] = None,
    ignore: Annotated[list[str] | None, IGNORE] = None,
    kind: Annotated[list[str] | None, KIND] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Write retraind.toml and the schema for your own data.

    Example: retraind init churn.csv --target churned
    """
    place, loaded = load(home)
    from daemon.cli import report, schema_changes, schema_report
    from daemon.core import durable
    from daemon.tabular import infer_schema

    place.require_plain_path()
    if place.schema.exists():
        hint = "Use another --home for other data, or change the schema by `retraind schema`."
        raise BadSettings(f"{place.schema} exists: this home has its data already.", hint=hint)
    kinds = schema_changes.choices(kind or []) | dict.fromkeys(ignore or [], "ignore")
    most = loaded.inbox.max_inflated_bytes
    found = infer_schema.of(file, target, task, most, dates, kinds)
    if found.texts:
        from daemon.cli import text_worth  # only now: it needs scikit-learn

        found = text_worth.with_texts(
            file, found, most, partial(infer_schema.of, file, target, task, most, dates), kinds
        )
    place.make()
    if not place.settings.exists():
        durable.write(place.settings, report.settings_file().encode(), mode=file_modes.SETTINGS)
    durable.write(place.schema, found.schema.dump())
    lines, remarks = schema_report.of_draft(found), list(_remarks(found))
    if json_:
        typer.echo(json.dumps(schema_report.as_json(found.schema, lines, remarks)))
    else:
        schema_report.show(lines)
        for remark in remarks:
            typer.echo(report.printable(remark), err=True)
    steps = "Is a column not what you meant? retraind schema --kind COL=KIND, --ignore COL, --missing TEXT."
    typer.echo(steps, err=True)
    typer.echo(f"Next: retraind run --home {home}, then drop {file.name} into {place.inbox}.", err=True)


@app.command(name="schema")
def schema_(
    ignore: Annotated[list[str] | None, IGNORE] = None,
    kind: Annotated[list[str] | None, KIND] = None,
    missing: Annotated[
        list[str] | None, typer.Option(help="A text that stands for a missing value; repeat it.")
    ] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Show, check and change the schema; a change counts from the next drop and training on, without a restart.

    Example: retraind schema --ignore customer --kind zip=category --missing NA
    """
    place, _ = load(home)
    from daemon.cli import schema_changes, schema_report

    kinds = schema_changes.choices(kind or []) | dict.fromkeys(ignore or [], "ignore")
    found, changed = schema_changes.change(place, kinds, missing or [])
    if changed != found:
        typer.echo(
            "Changed. Drops are read by it from now on; retraind retrain --force trains by it at once.", err=True
        )
    lines = schema_report.of_schema(changed)
    typer.echo(json.dumps(schema_report.as_json(changed, lines, []))) if json_ else schema_report.show(lines)


def _remarks(found: "Draft") -> Iterator[str]:
    """What a person should know of a draft beside the table."""
    if found.schema.decimal == ",":
        yield "Numbers have a decimal comma, as in 1,5."
    yield from found.cell_remarks()
    for group in alike(found.schema.classes):
        yield f"These classes differ in case or spaces only: {', '.join(map(repr, group))}. Are they the same?"
    if found.torn:
        yield f"Rows with too many or too few cells, which were not looked at: {found.torn}."
    if found.backslashes:
        yield f"Rows are torn. {found.BACKSLASHES}"
    if found.left_out:
        yield "Drops may have the columns of kind `ignore`; they are not read."


@app.command()
def doctor(
    home: HomeOption = HERE,
    repair: Annotated[bool, typer.Option("--repair", help="First make good what can be made good.")] = False,
    json_: JsonOption = False,
) -> None:
    """Check the home from end to end: settings, segments, git, DVC, bundles, journal, paths.

    Example: retraind doctor --repair
    """
    place = visit(home)
    if repair:
        _repair(place)
    _judge(place, json_)


def _judge(place: Home, json_: bool) -> None:
    """Say what the checkup finds; exit code 5 if anything is not in order."""
    from daemon.cli import doctor as checkup

    findings = checkup.examine(place)
    typer.echo(json.dumps(findings) if json_ else checkup.as_text(findings))
    raise typer.Exit(Exit.OK if all(finding["ok"] for finding in findings) else Exit.UNHEALTHY)


def _repair(place: Home) -> None:
    """Mend a home that nobody runs, or ask the daemon that does."""
    from daemon.dataset import repair as upkeep
    from daemon.service import service

    try:
        with service.locked(place):
            upkeep.mend(place, lambda sentence: typer.echo(f"retraind: {sentence}", err=True))
    except AlreadyRunning:
        typer.echo("retraind: the daemon is asked to do it.", err=True)
        _await(place, requests.submit(place, "repair").id)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The archive to be written; it must not exist.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Copy the whole home, running or not, into one file that only you can read: tokens are in it.

    Example: retraind backup /backups/churn.tar
    """
    place = visit(home)
    from daemon.backup import backup as backups

    facts = backups.backup(place, file.absolute())
    typer.echo(json.dumps(facts) if json_ else backups.sentence(file, facts))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `retraind backup` wrote.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Make a new home from a backup, compare every byte, and check it; exit code 10 if the backup is not whole.

    Example: retraind restore /backups/churn.tar --home ~/churn-again
    """
    place, _ = load(home)
    from daemon.backup import backup as backups
    from daemon.backup import restore as restoring

    manifest = restoring.restore(file, place)
    typer.echo(f"retraind: {place.root} restored as of {manifest.made}: {backups.counts(manifest.facts)}.", err=True)
    _judge(place, json_)
