"""The providers of keys, one package each. SDKs are imported only here, and lazily."""
