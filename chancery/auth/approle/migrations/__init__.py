"""Migrations of the tables of `approle`: a branch of its own."""
