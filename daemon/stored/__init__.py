"""What of a home is also in the object store: segments and bundles, put before the journal names them, fetched where they are lacking."""
