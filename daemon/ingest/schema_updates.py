"""The schema during ingestion: manual changes are reported, and additions from drops are saved before their rows."""

from collections.abc import Callable

from retraind.daemon.core import logs
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.ingest import schema_sentences
from retraind.daemon.schema import schema, schema_file
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal

log = logs.Logger()


class SchemaUpdates:
    """Reads and extends schema.json; used by the loop thread."""

    def __init__(self, home: Home, journal: Journal) -> None:
        self._home, self._journal = home, journal
        self._last: Schema | None = None
        """The schema as last read or written here; any difference from it was made by hand."""

    def read(self) -> Schema | None:
        """The present schema, None if there is none yet; an event reports manual changes since the last call."""
        current = schema.load(self._home.schema)
        if current is None:
            return None
        last, self._last = self._last, current
        if last is not None and last != current:
            sentence = schema_sentences.changes(last, current)
            self._journal.events.record(EventKind.SCHEMA, sentence)
            log.info("schema_changed", detail=sentence)
        return current

    def save(self, grown: Schema, current: Schema, drop_with: Callable[[str, str], str]) -> None:
        """Save additions from drops before their rows, so that drops that are read again after a kill find them.

        `drop_with` finds the drop (sha256) that has a text in a column. Raises Unavailable if the file is no longer `current`.
        """
        if grown is current:
            return
        if not schema_file.write(self._home.schema, current, grown):
            raise Unavailable(f"{self._home.schema} was changed meanwhile.", hint="The drops are read again with it.")
        self._last = grown
        for sentence, suspect in schema_sentences.growth(current, grown):
            level, drop = (Level.WARNING, drop_with(*suspect)) if suspect else (Level.INFO, None)
            self._journal.events.record(EventKind.SCHEMA, sentence, level=level, drop=drop)
            log.info("schema_grown", detail=sentence)
