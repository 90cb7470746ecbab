"""What operators do with an open seal, put together: rotate, rekey, generate root tokens."""

from collections.abc import Awaitable, Callable, Collection

from chancery.kit.clock import Clock
from chancery.kit.route import Route
from chancery.kit.storage import Database, Documents
from chancery.seal.rekey import Rekey, Target
from chancery.seal.root_generation import RootGeneration
from chancery.seal.rotation import Rotation
from chancery.seal.service import SealService
from chancery.system.seal_rekey import RekeyRoutes
from chancery.system.seal_root import RootRoutes
from chancery.system.seal_rotation import RotationRoutes


class SealOperations:
    """One for the process. Starts with serving and stops with it; attempts end when the seal closes."""

    def __init__(
        self,
        seal: SealService,
        database: Database,
        documents: Documents,
        clock: Clock,
        *,
        create_root: Callable[[], Awaitable[str]],
        root_token_length: int,
        unauthenticated: Collection[str],
    ) -> None:
        """`create_root` makes a root token. `unauthenticated` names the attempts that need no token."""
        self.rotation = Rotation(seal, database, documents, clock)
        self._rekeys = RekeyRoutes(
            Rekey(seal, Target.BARRIER), Rekey(seal, Target.RECOVERY), open_to_all="rekey" in unauthenticated
        )
        self._roots = RootRoutes(
            RootGeneration(seal, create_root, root_token_length), open_to_all="generate-root" in unauthenticated
        )

    def start(self) -> None:
        """Begin to look whether the keyring is due for rotation."""
        self.rotation.start()

    async def stop(self) -> None:
        """Look no more."""
        await self.rotation.stop()

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [*RotationRoutes(self.rotation).routes(), *self._rekeys.routes(), *self._roots.routes()]
