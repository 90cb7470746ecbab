"""The auth method `jwt`: whoever holds a token that a trusted issuer has signed. Mountable as `oidc` too."""
