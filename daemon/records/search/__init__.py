"""Lists of records by filters, newest first, in pages. Each page is answered by an index or within a stated time."""
