"""The policies that exist from the start, and the names that mean something of their own."""

from typing import Final

from chancery.policy.acl import ROOT
from chancery.policy.model import Policy

DEFAULT: Final = "default"
"""Given to every token that does not ask to go without; may be rewritten, not deleted."""

ROOT_POLICY: Final = Policy(ROOT, ())

RESPONSE_WRAPPING: Final = "response-wrapping"
"""Held by wrapping tokens alone, the same in every namespace; cannot be written or deleted."""

UNASSIGNABLE: Final = frozenset({RESPONSE_WRAPPING, "control-group"})
"""Names that Vault keeps for itself: no token can be created with them."""

RESPONSE_WRAPPING_TEXT: Final = """\
path "cubbyhole/response"     { capabilities = ["read"] }
path "sys/wrapping/unwrap"    { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
"""

DEFAULT_TEXT: Final = """\
# What a token may always do with itself.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self"  { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }

# What it may do elsewhere: for people, and for the user interface.
path "sys/capabilities-self"         { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }

# Leases: whoever knows a lease's identifier may ask about it and renew it.
path "sys/leases/lookup" { capabilities = ["update"] }
path "sys/leases/renew"  { capabilities = ["update"] }
path "sys/renew"         { capabilities = ["update"] }

# A private place that nobody else can read.
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }

# Response wrapping.
path "sys/wrapping/wrap"   { capabilities = ["update"] }
path "sys/wrapping/lookup" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }

# Digests and the state of a request that waits for approval: nothing secret.
path "sys/tools/hash"            { capabilities = ["update"] }
path "sys/tools/hash/*"          { capabilities = ["update"] }
path "sys/control-group/request" { capabilities = ["update"] }
"""
