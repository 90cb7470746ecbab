"""The `chancery` command: Vault's grammar over plain HTTP, for this server and any other that speaks Vault's API.

Imports nothing of the server except inside `chancery server`, and keeps its own imports light: a command that asks one
question answers in a quarter of a second.
"""
