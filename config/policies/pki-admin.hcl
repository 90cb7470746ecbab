# Sets up certificate authorities: mounts, the managed keys a mount may use, issuers, roles, URLs. Issues nothing.

path "sys/mounts" {
  capabilities = ["read", "list"]
}

path "sys/mounts/pki*" {
  capabilities = ["create", "read", "update", "delete", "sudo"]
}

path "pki/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

path "pki/root" {
  capabilities = ["delete", "sudo"]
}

path "pki/issue/*" {
  capabilities = ["deny"]
}

path "pki/sign/*" {
  capabilities = ["deny"]
}

path "pki/issuer/+/issue/*" {
  capabilities = ["deny"]
}

path "pki/issuer/+/sign/*" {
  capabilities = ["deny"]
}
