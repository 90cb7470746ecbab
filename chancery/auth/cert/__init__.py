"""The auth method `cert`: machines and people by the certificate that they show in TLS."""
