"""The paths of a PKI mount: parameters parsed, a use case called, the answer rendered with Vault's fields."""
