"""Tokens: what they are, where they are kept, and the paths below `auth/token/`."""
