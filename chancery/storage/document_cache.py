"""The decoded documents of one kind, as this process knows them. One rule keeps them from being stale.

What was read at revision r may be remembered only if r is not older than the newest change known to this collection:
a read that was overtaken by a write is answered, but not kept. Changes by other processes come later, with their
revision, and drop what was read before them.
"""

from typing import Generic, TypeVar

from chancery.kit.storage import Document, Stored

M = TypeVar("M", bound=Stored)

PRESENT_LIMIT = 10_000
ABSENT_LIMIT = 1_000
"""Names that do not exist come from clients, so few are remembered. The oldest leave first."""


class DocumentCache(Generic[M]):
    """Used on the event loop only; no method waits."""

    def __init__(self) -> None:
        self.present: dict[str, Document[M]] = {}
        self.absent: dict[str, int] = {}
        """Names known not to exist, with the revision at which they did not."""
        self.hits = 0
        self.misses = 0
        self._read_at: dict[str, int] = {}
        self._all: tuple[int, list[Document[M]]] | None = None
        self._changed_at = 0

    def everything(self) -> list[Document[M]] | None:
        """Return every document in the order of names, if that is known."""
        return None if self._all is None else list(self._all[1])

    def remember(self, name: str, document: Document[M] | None, revision: int) -> None:
        """Keep what a snapshot showed, unless a newer change is known."""
        if revision < self._changed_at:
            return
        self._drop(name)
        if document is None:
            self.absent[name] = revision
            if len(self.absent) > ABSENT_LIMIT:
                del self.absent[next(iter(self.absent))]
            return
        self.present[name] = document
        self._read_at[name] = revision
        if len(self.present) > PRESENT_LIMIT:
            self._drop(next(iter(self.present)))

    def remember_all(self, documents: list[Document[M]], revision: int) -> None:
        """Keep every document of the kind, unless a newer change is known or there are too many."""
        if revision < self._changed_at or len(documents) > PRESENT_LIMIT:
            return
        for document in documents:
            self.remember(document.name, document, revision)
        self._all = (revision, list(documents))

    def changed_here(self, name: str, document: Document[M] | None, revision: int) -> None:
        """Follow a change that this process made; None: the document was removed."""
        self._all = None
        if revision < self._changed_at:
            self._drop(name)
            return
        self._changed_at = revision
        self.remember(name, document, revision)

    def changed_elsewhere(self, name: str, revision: int) -> None:
        """Follow a change that may be another process's: drop what was read before it."""
        self._changed_at = max(self._changed_at, revision)
        if self._all is not None and self._all[0] < revision:
            self._all = None
        if max(self._read_at.get(name, 0), self.absent.get(name, 0)) < revision:
            self._drop(name)

    def outdated(self, revision: int) -> None:
        """Drop everything read before a revision, because what changed until then is not known."""
        self._changed_at = max(self._changed_at, revision)
        for name in [*self._read_at, *self.absent]:
            self.changed_elsewhere(name, revision)
        self._all = None

    def clear(self) -> None:
        """Drop everything decoded."""
        self.present.clear()
        self.absent.clear()
        self._read_at.clear()
        self._all = None

    def _drop(self, name: str) -> None:
        self.absent.pop(name, None)
        if self.present.pop(name, None) is not None:
            del self._read_at[name]
