"""Initialises a token: `python -m managed_keys.providers.pkcs11.tokens`, a process of its own, for development and
tests.

Reads JSON from standard input (`library`, `label`, `pin`, `so_pin`): no PIN appears in arguments or the environment.
A token with the label that exists already is left alone. Fails with a message on standard error.
"""

import json
import sys

from managed_keys.providers.pkcs11 import cryptoki as c
from managed_keys.providers.pkcs11.messages import Failure


def initialise(module: c.Module, label: str, pin: str, so_pin: str) -> bool:
    """Make a token in the first slot without one. Return False when there is a token with this label already."""
    module.initialize()
    try:
        tokens = {slot: module.token(slot) for slot in module.slots()}
        if any(info.label == label and info.flags & c.CKF_TOKEN_INITIALIZED for info in tokens.values()):
            return False
        free = [slot for slot, info in tokens.items() if not info.flags & c.CKF_TOKEN_INITIALIZED]
        if not free:
            sys.exit("there is no slot without a token")
        module.init_token(free[0], so_pin, label)
        # The slot's number may have changed: SoftHSM gives an initialised token another.
        slot = next(slot for slot in module.slots() if module.token(slot).label == label)
        session = module.open_session(slot, read_write=True)
        module.login(session, so_pin, c.CKU_SO)
        module.init_pin(session, pin)
        return True
    finally:
        module.finalize()


def main() -> None:
    """Do what standard input asks for."""
    order: dict[str, str] = json.load(sys.stdin)
    try:
        initialise(c.Module(order["library"]), order["label"], order["pin"], order["so_pin"])
    except Failure as failure:
        sys.exit(f"{order['library']}: {failure.text}")


if __name__ == "__main__":
    main()
