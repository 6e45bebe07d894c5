"""The HTTP side: workers that follow the pointer, predict, log, and show what the journal says."""

if __name__ != "retraind.web":  # otherwise every class would exist twice
    raise ImportError(
        "Import retraind.web: in a checkout of retraind, the folder web/ is a part of the package retraind."
    )
