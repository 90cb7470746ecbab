"""Revisions of the host's tables."""
