"""The PKI engine: issuers, roles, issuance, revocation and CRLs. Every signature comes from a managed key."""
