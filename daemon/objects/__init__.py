"""The object store: immutable objects that are named by their content, kept beside this machine if `storage.url` is set."""
