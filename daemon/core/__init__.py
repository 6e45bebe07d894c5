"""What every room stands on: errors, settings, paths of the home, durable files, status, requests, states, rows of the journal."""
