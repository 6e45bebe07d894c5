"""Segments and bundles in the object store: put before the journal names them, fetched if they are missing here."""
