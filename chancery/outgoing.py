"""The one door for HTTP requests that configuration makes the server send.

Addresses are judged when a socket is made for them, after names were resolved: what was judged is what is connected
to, whatever a name server says the next time it is asked.
"""

import asyncio
import errno
import socket
import ssl
from collections import OrderedDict
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp

from chancery.kit.outgoing import NOT_AUTHORITIES, OutgoingAnswer, OutgoingFailed, OutgoingRefused, OutgoingRequest
from chancery.outgoing_rules import OutgoingRules, PlainHttp

_MAX_CONNECTIONS: Final = 64
_MAX_CONNECTIONS_OF_HOST: Final = 16
_MAX_CONTEXTS: Final = 256
_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class OutgoingDoor:
    """`Outgoing` of the kit, over pooled connections. No proxies, no cookies, no credentials of its own."""

    def __init__(self, rules: OutgoingRules) -> None:
        self._rules = rules
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()

    async def send(self, request: OutgoingRequest) -> OutgoingAnswer:
        """Send a request. Raises OutgoingRefused or OutgoingFailed."""
        url = self._checked(request.url, request)
        try:
            async with asyncio.timeout(self._rules.timeout):
                context = await self._context(request.ca_pem)
                return await self._follow(request, url, context)
        except TimeoutError:
            raise OutgoingFailed(f"{url.hostname} did not answer within {self._rules.timeout:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise OutgoingFailed(f"{url.hostname} showed a certificate that is not trusted: {_why(error)}") from None
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == errno.EPERM:
                raise _forbidden(url) from None
            raise OutgoingFailed(f"cannot connect to {url.netloc}: {error.os_error.strerror or 'failed'}") from None
        except aiohttp.InvalidURL:
            raise OutgoingRefused("the URL cannot be read") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise OutgoingFailed(f"{url.hostname} gave no usable answer: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _checked(self, text: str, request: OutgoingRequest) -> SplitResult:
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            raise OutgoingRefused("the URL cannot be read") from None
        if url.scheme not in {"https", "http"} or not url.hostname or port == 0:
            raise OutgoingRefused("the URL must begin with https:// and name a host")
        if url.username is not None or url.password is not None:
            raise OutgoingRefused("the URL must not contain credentials")
        if url.scheme == "http" and not self._may_be_plain(url.hostname, request):
            raise OutgoingRefused(
                f"{url.hostname} would be asked over plain http; use https, or see the setting outgoing.plain_http"
            )
        return url

    def _may_be_plain(self, host: str, request: OutgoingRequest) -> bool:
        if request.is_signed and self._rules.plain_http is not PlainHttp.NEVER:
            return True
        if self._rules.plain_http is not PlainHttp.LOOPBACK:
            return False
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False  # a name may lead anywhere

    async def _follow(self, request: OutgoingRequest, url: SplitResult, context: ssl.SSLContext) -> OutgoingAnswer:
        """Send, and follow redirects within the same origin."""
        target = url
        for _ in range(_MAX_REDIRECTS + 1):
            location, answer = await self._exchange(request, target, context)
            if location is None:
                return answer
            target = urlsplit(urljoin(target.geturl(), location))
            if (target.scheme, target.netloc) != (url.scheme, url.netloc):
                raise OutgoingRefused(f"{url.hostname} redirects to another host, which is not followed")
        raise OutgoingFailed(f"{url.hostname} redirects without end")

    async def _exchange(
        self, request: OutgoingRequest, url: SplitResult, context: ssl.SSLContext
    ) -> tuple[str | None, OutgoingAnswer]:
        async with self._open_session().request(
            request.method,
            url.geturl(),
            data=request.body or None,
            headers={"Accept-Encoding": "identity", "User-Agent": "chancery", **request.headers},
            ssl=context,
            allow_redirects=False,
        ) as response:
            if request.method == "GET" and response.status in _REDIRECTS and "Location" in response.headers:
                return response.headers["Location"], OutgoingAnswer(response.status, b"")
            body = await _limited(response, request.max_size, url)
            return None, OutgoingAnswer(response.status, body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=_MAX_CONNECTIONS,
                limit_per_host=_MAX_CONNECTIONS_OF_HOST,
                use_dns_cache=False,
                socket_factory=self._socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for one resolved address, or refuse to."""
        family, kind, protocol, _, where = info
        if not self._rules.addresses.permits(ip_address(str(where[0]).partition("%")[0])):
            raise OSError(errno.EPERM, "address not allowed")
        return socket.socket(family, kind, protocol)

    async def _context(self, ca_pem: str) -> ssl.SSLContext:
        """Return the TLS context for a set of authorities; contexts are kept, as connections are pooled by them."""
        context = self._contexts.get(ca_pem)
        if context is None:
            context = await asyncio.to_thread(_tls_context, ca_pem)
            self._contexts[ca_pem] = context
            if len(self._contexts) > _MAX_CONTEXTS:
                self._contexts.popitem(last=False)
        return context


def _tls_context(ca_pem: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
    except (ssl.SSLError, ValueError):
        raise OutgoingFailed(NOT_AUTHORITIES) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _limited(response: aiohttp.ClientResponse, limit: int, url: SplitResult) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > limit:
            raise OutgoingFailed(f"{url.hostname} answered with more than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _forbidden(url: SplitResult) -> OutgoingRefused:
    return OutgoingRefused(
        f"{url.hostname} has an address that this server may not connect to; "
        "an operator can open it with the setting outgoing.allow"
    )


def _why(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "unreadable"
