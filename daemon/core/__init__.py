"""What every room stands on: errors, settings, paths of the home, durable files, status, requests, names of states."""
