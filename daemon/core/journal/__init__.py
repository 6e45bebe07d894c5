"""The place of a home's journal: its file, or the address of a server, without a password; the kinds of its notices."""
