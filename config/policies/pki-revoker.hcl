# For an incident desk: looks certificates up, revokes them, rebuilds the list of revoked ones.

path "pki/certs" {
  capabilities = ["list"]
}

path "pki/certs/revoked" {
  capabilities = ["list"]
}

path "pki/revoke" {
  capabilities = ["create", "update"]
}

path "pki/crl/rotate" {
  capabilities = ["read"]
}
