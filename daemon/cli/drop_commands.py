"""Commands on the files that bring data: ingest, drops, accept, reject, forget."""

from pathlib import Path
from typing import Annotated, TypedDict

import typer

from retraind.daemon.cli.ask_daemon import submit, warn_if_down
from retraind.daemon.cli.completion import values
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, limit_option, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core import requests, settings
from retraind.daemon.core.errors import NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.states import DropState


class Copied(TypedDict):
    """A file that is in the inbox now; its path is relative to the home."""

    file: str


class TracedPlace(TypedDict):
    """A place that holds rows of a drop, what is there, and what removes it."""

    where: str
    what: str
    goes: str


class Traced(TypedDict):
    """A drop, and every place that holds rows of it."""

    id: int
    name: str
    sha256: str
    state: DropState
    traces: list[TracedPlace]


def ingest(
    file: Annotated[Path, typer.Argument(help="A labelled CSV file.")],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Copy a file into the inbox, durably.

    Example: retraind ingest examples/iris-more.csv
    """
    place, _ = opened(home, writes=True)
    from retraind.daemon.core import durable
    from retraind.daemon.core.inbox_names import ignored

    place.make()
    if not file.is_file():
        raise NotFound(f"{file} is not a file.", hint="Name a labelled CSV file.")
    name = f"{file.stem}.csv" if ignored(file.name) else file.name
    if ignored(name) or (place.inbox / name).exists():
        name = f"{durable.sha256_file(file)[:8]}-{name}"
    durable.write(place.inbox / name, file.read_bytes())
    say.document(Copied(file=f"inbox/{name}")) if json_ else typer.echo(f"inbox/{name}")
    warn_if_down(place)


def drops(
    key: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Only this drop: its id, sha256 or name.", autocompletion=values.drops),
    ] = None,
    limit: Annotated[int, limit_option("How many of the newest.")] = 20,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """List the dropped files with their outcome, or show one.

    Example: retraind drops iris-more.csv
    """
    place, _ = opened(home)
    from retraind.daemon.cli.report import drops as report

    if key is None:
        listed = report.listed(place, limit)
        say.document(listed) if json_ else report.print_table(listed)
    else:
        facts = report.get(place, key)
        say.document(facts) if json_ else report.print_facts(facts)


def accept(
    drop: Annotated[
        str,
        typer.Argument(
            help="Name or sha256 of a drop that is held; see `retraind drops`.", autocompletion=values.held_drops
        ),
    ],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Accept a suspicious drop that is held (inbox.suspicious): its rows are used like any others.

    Example: retraind accept export.csv
    """
    _decide(home, json_, "accept", drop)


def reject(
    drop: Annotated[
        str,
        typer.Argument(
            help="Name or sha256 of a drop that is held; see `retraind drops`.", autocompletion=values.held_drops
        ),
    ],
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Reject a suspicious drop that is held: it moves to inbox/rejected, with the reason.

    Example: retraind reject export.csv
    """
    _decide(home, json_, "reject", drop)


def _decide(home: Path, json_: bool, kind: requests.Kind, drop: str) -> None:
    place, _ = opened(home, writes=True)
    from retraind.daemon.cli.report import drops

    submit(home, json_, kind, drop=drops.held(place, drop)["sha256"])


def forget(
    drop: Annotated[
        str,
        typer.Argument(
            help="An id or sha256, or a name that no other drop has had; see `retraind drops`.",
            autocompletion=values.drops,
        ),
    ],
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also remove them from DVC's cache (older revisions are lost), rejected files and predictions that the drop labelled.",
        ),
    ] = False,
    find: Annotated[bool, typer.Option("--find", help="Only list where its rows are.")] = False,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Remove a drop's rows in a new revision of the dataset, and retrain.

    Example: retraind forget poison.csv
    """
    place, _ = opened(home, writes=not find)
    from retraind.daemon.cli.report import drops

    target = drops.to_forget(place, drop)
    if find:
        _list_traces(place, target, json_)
        return
    answered = submit(home, json_, "forget", drop=target["sha256"], purge=purge)
    if not purge and not answered:
        hint = "Older revisions in DVC's cache still hold its rows; --purge removes them there, and those revisions with them."
        say.say(hint)


def _list_traces(place: Home, drop: DropRow, json_: bool) -> None:
    from retraind.daemon.cli.report.terminal import printable
    from retraind.daemon.ingest.erasure.traces import find
    from retraind.daemon.objects.opening import open_store
    from retraind.daemon.storage.journal import Journal

    with Journal.reading(place.journal) as journal:
        traces = find(place, journal, drop, open_store(settings.load(place.settings).storage))
    if json_:
        about = {"id": drop["id"], "name": drop["name"], "sha256": drop["sha256"], "state": drop["state"]}
        say.document({**about, "traces": [trace._asdict() for trace in traces]})
        return
    for trace in traces:
        typer.echo(printable(f"{trace.where}: {trace.what} (until: {trace.goes})"))
