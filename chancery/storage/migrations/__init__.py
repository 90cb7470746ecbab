"""Alembic's environment for every component, and the revisions of the host."""
