"""Leases: secrets that are taken back when they expire, when their token ends, or when somebody says so."""
