"""`make demo`: a root CA whose key never leaves SoftHSM, walked through with the commands that a user would type."""
