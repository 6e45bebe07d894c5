"""The process of an HTTP worker: Granian, the bridge to the application, request bodies, threads and shutdown."""
