"""The certificates that a client showed in its TLS handshake."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final, NamedTuple


class Presented(NamedTuple):
    """What a client showed, as DER."""

    certificate: bytes | None = None
    """Its own. OpenSSL has verified it against the listener's CA, and that the client holds its key."""
    chain: tuple[bytes, ...] = ()
    """What it sent along, unverified: for building a chain to the authority that a role trusts."""


NOTHING: Final = Presented()
_MAX_CHAIN: Final = 10


def presented_by(transport: asyncio.BaseTransport) -> Presented:
    """Return what the client of a connection showed; nothing without TLS, and where it was not asked."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return NOTHING
    certificate = tls.getpeercert(binary_form=True)
    if not certificate:
        return NOTHING
    return Presented(certificate, tuple(der for der in _sent(tls)[: _MAX_CHAIN + 1] if der != certificate))


def _sent(tls: ssl.SSLObject) -> Sequence[bytes]:
    # Public since Python 3.13; before, only the object below has it.
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    inner: Any = getattr(tls, "_sslobj", None)
    if inner is None:
        return ()
    import _ssl

    return [each.public_bytes(_ssl.ENCODING_DER) for each in inner.get_unverified_chain() or ()]
