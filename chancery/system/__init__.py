"""The `sys/` mount: status, init and seal, mounts, OpenAPI. Policies' and extensions' routes join it here."""
