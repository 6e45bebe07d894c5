"""Pages of lists, of what waits, and of the settings: the content of `retraind.web.lists`, with the forms to search it."""
