"""Figures over time for programs and for the page: what is asked for, and the answer as JSON and CSV."""
