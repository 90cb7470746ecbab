"""A server to be killed: signs once with a token, prints the signer's process, and waits."""

import asyncio
import os
import sys
from pathlib import Path

from chancery.kit.engine import KmsLibrary
from tests.support.hsm_token import SoftToken
from tests.support.hsm_world import HsmWorld


async def main() -> None:
    """Serve nobody until the end."""
    module, label, key_label = sys.argv[1:]
    environment = {"SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"]}
    library = KmsLibrary("softhsm", "pkcs11", Path(module), environment)
    async with HsmWorld(SoftToken(library, label, os.environ["TEST_PIN"], Path())) as world:
        await world.sign(await world.write(key_label=key_label))
        sys.stdout.write(f"{world.process_ids[0]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
