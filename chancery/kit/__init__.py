"""All that an engine, a key provider or an extension may import from the host."""
