"""The SQL of SQLite that other databases spell otherwise: all that a second database has to replace in these queries."""

ARRIVAL = "rowid"
"""The order in which the rows of a table without a number of its own came."""

BY_ID = "NOT INDEXED"
"""Read the newest rows by their number: SQLite would read all of an index instead, to spare itself the sorting of a few rows."""

UNSORTED = "+"
"""Before a column whose index must not be used."""
