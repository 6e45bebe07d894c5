"""The process of an HTTP worker: Granian, the bridge to the application, bodies, threads, and the end."""
