"""The routes of the application and the service's own endpoints."""
