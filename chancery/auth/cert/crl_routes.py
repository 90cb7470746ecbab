"""`crls`: revocation lists that are uploaded, and those that are fetched again and again."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from pydantic import Field

from chancery.auth.cert.crls import MAX_CRL, RevocationList, StoredCrl, read_crl
from chancery.kit.engine import Job, MountContext
from chancery.kit.errors import BadInput
from chancery.kit.outgoing import OutgoingFailed, OutgoingRequest, outgoing_of
from chancery.kit.params import NoParams, Params, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.role_settings import role_name
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import Document, DocumentMoved

_log = logging.getLogger(__name__)

_PERIOD: Final = 300
"""Seconds between two looks for lists that are to be fetched again."""


class NamedCrl(Params):
    """Names a list."""

    name: Text = Field(description="Name of the list")


class WriteCrl(NamedCrl):
    """A list, or where it is."""

    crl: Text = Field("", description="The list: PEM, or the base64 of DER")
    url: Text = Field("", description="Where to fetch it, now and before it is out of date")


class RevocationLists:
    """The lists of one mount."""

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._documents = context.documents.collection("crl", StoredCrl)
        self._ready: dict[str, tuple[Document[StoredCrl], RevocationList]] = {}

    def routes(self) -> Sequence[Route]:
        """Return the paths."""
        return [
            Route(pattern="crls", list=endpoint(self.list, responses=("keys",))),
            Route(
                pattern="crls/{name}",
                read=endpoint(self.read, NamedCrl, responses=("serials", "url")),
                update=endpoint(self.write, WriteCrl),
                delete=endpoint(self.delete, NamedCrl),
            ),
        ]

    def job(self) -> Job:
        """Return the work of fetching lists again."""
        return Job("crls", _PERIOD, self.refresh, self._is_any_fetched)

    async def ready(self) -> Sequence[RevocationList]:
        """Return every list, ready for looking up."""
        documents = await self._documents.all()
        ready = {}
        for document in documents:
            known = self._ready.get(document.name)
            if known is None or known[0] is not document:
                parsed = await asyncio.to_thread(RevocationList.of, document.name, document.value)
                known = (document, parsed)
            ready[document.name] = known
        self._ready = ready
        return [each for _, each in ready.values()]

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List revocation lists."""
        return listing(await self._documents.names())

    async def read(self, _request: Request, params: NamedCrl) -> Answer:
        """Read a revocation list: the serial numbers on it."""
        document = await self._existing(params.name)
        serials = await asyncio.to_thread(_serials, document.value)
        url = document.value.url
        return Reply({"serials": serials} | ({"url": url} if url else {}))

    async def write(self, _request: Request, params: WriteCrl) -> Answer:
        """Upload a revocation list, or name where it is."""
        name = role_name(params.name)
        if bool(params.crl) == bool(params.url):
            raise BadInput("one of 'crl' or 'url' must be provided")
        try:
            data = await self._fetch(params.url) if params.url else params.crl.encode()
            crl = await asyncio.to_thread(read_crl, data)
        except OutgoingFailed as failure:
            raise BadInput.of("url", failure.message) from None
        except ValueError as error:
            raise BadInput.of("url" if params.url else "crl", str(error)) from None
        await self._documents.put(name, StoredCrl.of(crl, params.url))
        return None

    async def delete(self, _request: Request, params: NamedCrl) -> Answer:
        """Delete a revocation list."""
        document = await self._existing(params.name)
        await self._documents.delete(document.name)
        return None

    async def refresh(self, now: datetime) -> None:
        """Fetch the lists that are due. One that cannot be had stays as it was, until it is out of date."""
        for document in await self._documents.all():
            if not document.value.is_due(now):
                continue
            try:
                data = await self._fetch(document.value.url)
                crl = await asyncio.to_thread(read_crl, data)
            except (OutgoingFailed, ValueError) as error:
                _log.warning("%s: the CRL %s cannot be fetched: %s", self._path, document.name, error)
                continue
            with suppress(DocumentMoved):  # whoever wrote it meanwhile knows better
                await self._documents.put(
                    document.name, StoredCrl.of(crl, document.value.url), expected=document.version
                )

    async def _is_any_fetched(self, now: datetime) -> bool:
        return any(document.value.is_due(now) for document in await self._documents.all())

    async def _fetch(self, url: str) -> bytes:
        answer = await outgoing_of(self._context.services).send(OutgoingRequest(url, max_size=MAX_CRL, is_signed=True))
        if answer.status != 200:
            raise OutgoingFailed(f"{url}: answered with status {answer.status}")
        return answer.body

    async def _existing(self, name: str) -> Document[StoredCrl]:
        document = await self._documents.get(name.lower())
        if document is None:
            raise BadInput(f"no such CRL {name[:255]}")
        return document

    @property
    def _path(self) -> str:
        return self._context.mount().path


def _serials(stored: StoredCrl) -> dict[str, dict[str, str]]:
    return {str(revoked.serial_number): {} for revoked in read_crl(stored.der)}
