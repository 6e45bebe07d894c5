"""Takes over the journal on a server, for a home in place of another one that is gone for good."""

from sqlalchemy import inspect, select

from retraind.daemon.core.errors import BadSettings, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import home_identity, journal_server
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.storage.server import copies, session, tables


def take_over(home: Home, server: JournalServer) -> bool:
    """Give a journal a new id, which only this home knows; False if it is that of this home already.

    A `server` without an id may have the journal of any home. After a kill in between, the next call completes it. Call
    while holding the home's lock. Raises AlreadyRunning while another process writes it, BadSettings if it is the
    journal of a third home, NotFound if there is none, RetraindError.
    """
    own = journal_server.beside(home.journal)
    with copies.opened(server, "retraind claim") as connection:
        session.lock(connection, server)
        with connection.begin():
            if not inspect(connection).has_table(tables.state.name):
                raise NotFound(f"There is no journal at {server.url}.", hint="`retraind run` makes a new one.")
            stored = connection.execute(select(tables.state.c.journal)).scalar_one()
            if own is not None and stored == own.journal and not home_identity.is_copy(home):
                return False
            identity = home_identity.announce(home)
            if server.journal and stored not in (server.journal, identity):
                raise BadSettings(f"The journal at {server.url} belongs to a third home.", hint="Is the address right?")
            connection.execute(tables.state.update().values(journal=identity))
    journal_server.write(home, JournalServer(server.url, identity))
    home_identity.write(home, identity)
    return True
