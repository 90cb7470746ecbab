"""Audit: who asked for what and what they were told, recorded by devices before anything happens or leaves."""
