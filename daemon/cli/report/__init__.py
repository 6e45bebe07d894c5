"""Reports of the command line on a home. They work with and without a running daemon, and change nothing."""
