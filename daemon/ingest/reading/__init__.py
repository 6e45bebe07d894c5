"""The drops of a batch become checked rows: files, many small ones as one, late labels; known rows are counted or left out."""
