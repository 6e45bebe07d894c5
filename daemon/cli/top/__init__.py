"""The command top: the dashboard in a terminal, whose screen is `retraind.web.terminal`."""
