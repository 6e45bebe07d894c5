"""The daemon: watches the inbox, versions the data, trains, judges and points at the served model."""
