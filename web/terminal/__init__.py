"""`retraind top`: the facts of the dashboard in a terminal, read from the home or from a service on another machine."""
