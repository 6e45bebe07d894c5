"""What the command line shows of a home; it works with and without a running daemon, and changes nothing."""
