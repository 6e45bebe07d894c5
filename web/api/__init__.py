"""The routes of the application, and our own endpoints."""
