"""The inbox, a folder that others write to: settling, reading and removing drops, and the folder of rejected ones."""
