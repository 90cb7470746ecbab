# For a service that gets its own certificates from one role, and nothing else.

path "pki/issue/example-dot-com" {
  capabilities = ["create", "update"]
}

path "pki/sign/example-dot-com" {
  capabilities = ["create", "update"]
}
