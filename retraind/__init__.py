"""retraind: `retraind.daemon` and `retraind.web`. In a checkout these are links to the folders `daemon/` and `web/` at its top."""
