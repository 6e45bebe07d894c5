"""`retraind claim`: gives a home the object store, and the journal on a server, of another one that is gone for good."""

from contextlib import ExitStack, suppress

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import AlreadyRunning, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import home_identity, journal_server
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.core.settings import Settings
from retraind.daemon.objects import ownership
from retraind.daemon.objects.opening import open_store, require_botocore
from retraind.daemon.objects.ownership import Owner, OwnerUnknown
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.service import service


def claim(home: Home, settings: Settings) -> list[str]:
    """Take over what the settings name; returns sentences on it.

    The other home stops using it, if it still runs after all. Raises AlreadyRunning while it writes the journal,
    StoreUnavailable, RetraindError.
    """
    sentences = []
    server = None if settings.leader.standby else _server(home, settings.journal.url)  # homes of one leader share it
    if server is not None and _claim_journal(home, server):
        sentences.append(f"The journal at {server.url} is now that of this home.")
    if (store := open_store(settings.storage)) is not None:
        sentences.append(_claim_store(home, store))
    if settings.inbox.url:
        require_botocore("inbox.url")
        from retraind.daemon.inbox.bucket.opening import open_own

        sentences.append(_claim_store(home, open_own(settings)))
    if mlflow_server.beside(home) is not None and home_identity.is_copy(home):
        with service.locked(home):
            home_identity.settle(home)
        sentences.append("MLflow's database on its server is that of this home.")
    return sentences or ["There is nothing to claim: the journal is that of this home, and it uses no object store."]


def advice(settings: Settings) -> list[str]:
    """Sentences on what a restored home shares by its settings with the home that was backed up."""
    sentences = []
    if settings.journal.url:
        sentences.append(
            "journal.url names a server, but the restored journal is a file: remove the setting, or `retraind migrate` "
            "it to an empty database."
        )
    if settings.storage.url:
        sentences.append(
            f"{settings.storage.url} belongs to the home that was backed up: if that is gone for good, run "
            "`retraind claim`; otherwise set another storage.url."
        )
    if settings.inbox.url:
        sentences.append(
            f"Objects of {settings.inbox.url} are taken by the home that was backed up: if that is gone for good, run "
            "`retraind claim`; otherwise remove inbox.url."
        )
    return sentences


def _server(home: Home, url: str) -> JournalServer | None:
    """The server of the journal, without the journal's id if the home has no data that belong to one."""
    server = journal_server.beside(home.journal)
    if server is None and (home.journal.exists() or not url):
        return None
    has_data = (home.data / ".git").exists()
    return JournalServer(url or (server.url if server else ""), server.journal if server and has_data else "")


def _claim_journal(home: Home, server: JournalServer) -> bool:
    """Whether the journal was another home's until now."""
    from retraind.daemon.storage.server import takeover

    with ExitStack() as stack:
        try:
            stack.enter_context(service.locked(home))
        except AlreadyRunning:  # a daemon runs here, so the journal is that of this home
            return False
        return takeover.take_over(home, server)


def _claim_store(home: Home, store: ObjectStore) -> str:
    identity = journal_server.identity(home)
    if not identity:
        with suppress(AlreadyRunning), service.locked(home):  # a running daemon has settled it at its start
            identity = journal_server.settle_identity(home)
    if not identity:
        raise RetraindError("The running daemon uses no object store.", hint="Restart it with storage.url first.")
    owner: Owner | None = None
    with suppress(OwnerUnknown):
        owner = ownership.read(store)
    if owner is not None and owner.journal == identity:
        return f"{store.place} is that of this home already."
    ownership.write(store, identity, home)
    ownership.require(store, identity)
    before = f" It was that of {owner.home}; if that still runs, it stops storing and removing there." if owner else ""
    return f"{store.place} is now that of this home.{before}"
