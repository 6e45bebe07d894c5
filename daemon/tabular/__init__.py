"""From the bytes of a file to typed, checked rows: splitting, kinds of columns, times, fingerprints, a first schema."""
