"""The only place that knows aiohttp: listening, limits, TLS, JSON, Vault's envelope and its error statuses."""
