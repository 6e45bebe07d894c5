"""The HTTP side: workers that follow the pointer, predict, log, and show what the journal says."""
