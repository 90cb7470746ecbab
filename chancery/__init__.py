"""The host: HTTP, storage, seal, tokens, policies, mounts and the command line. It knows no engine by name."""

__version__ = "0.1.0"
