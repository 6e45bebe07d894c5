"""Databases on a server: which one MLflow uses, and statements that are written once for SQLite and PostgreSQL."""
