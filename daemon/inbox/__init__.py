"""The inbox, a folder that other users write to: settling, reading and removing drops, and rejected files."""
