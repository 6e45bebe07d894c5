"""Invalid values of files that people write, explained: the place in the file, and the fault in our own words."""
