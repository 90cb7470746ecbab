"""Namespaces: tenants within one server, each with mounts, policies, tokens and managed keys of its own."""
