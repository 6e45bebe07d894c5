"""Lists of drops, events and predictions by the filters of a query string: for pages, for programs, and as CSV."""
