# Registers keys that live in HSMs, and tests them. Cannot use them: that takes a mount, and a grant on the mount.

path "sys/managed-keys/+" {
  capabilities = ["list"]
}

path "sys/managed-keys/+/+" {
  capabilities = ["create", "read", "update", "delete"]
}

path "sys/managed-keys/+/+/test/sign" {
  capabilities = ["create", "update"]
}
