"""Completion of the command line in bash, zsh and fish: the scripts, and the versions, drops and tokens of a home."""
