"""Keys in PKCS#11 tokens, reached through signer processes."""
