"""Where a home keeps its journal: in its file, or on a server, whose address has no password."""
