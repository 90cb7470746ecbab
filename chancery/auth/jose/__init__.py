"""Signed tokens (JWS, RFC 7515) under public keys: what the methods `jwt` and `kubernetes` share."""
