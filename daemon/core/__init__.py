"""Modules that all other packages use: errors, settings, paths, durable files, status, requests, states, rows."""
