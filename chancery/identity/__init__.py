"""Identities: entities, the aliases by which auth mounts know them, and the paths below `identity/`."""
