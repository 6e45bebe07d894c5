"""The object store: immutable objects, named by their content, stored on another machine if `storage.url` is set."""
