"""The dashboard: one document of facts, and the page made from it."""
