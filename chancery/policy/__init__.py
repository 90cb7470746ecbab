"""Policies: their text, what they grant, where they are kept. Rules here are pure; only `store` and `routes` await."""
