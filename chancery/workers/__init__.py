"""Several processes behind one port: a supervisor that serves nothing, and workers that are each the whole server.

The supervisor forks, watches and replaces workers; it never learns a key. Workers are joined pairwise by inherited
socket pairs: over these the root key is handed on, sealing is agreed, and requests about the seal reach the one worker
that answers them. What one worker changes, the others see before they serve their next request (`board`).
"""
