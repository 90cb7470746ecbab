"""Asking OCSP responders whether a certificate is revoked, and remembering what they said."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from cryptography import x509

from chancery.auth.cert.chains import is_issued_by
from chancery.auth.cert.identity import CertificateRefused
from chancery.auth.cert.ocsp_rules import (
    AnswerRefused,
    OcspSettings,
    Standing,
    Verdict,
    question,
    servers_of,
    verdict,
)
from chancery.kit.clock import Clock
from chancery.kit.outgoing import Outgoing, OutgoingFailed, OutgoingRefused, OutgoingRequest

_log = logging.getLogger(__name__)

_DEADLINE: Final = 20.0
"""Seconds for one certificate, whatever the number of responders and retries."""
_MAX_ANSWER: Final = 64 * 1024
_FIRST_PAUSE: Final = 0.1

Key = tuple[bytes, int]


class Responders:
    """The responders of one mount, and a bounded memory of their answers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memory: OrderedDict[Key, Verdict] = OrderedDict()

    async def demand_good(
        self,
        chain: Sequence[x509.Certificate],
        sent: Sequence[x509.Certificate],
        settings: OcspSettings,
        door: Outgoing,
        memory_size: int,
    ) -> None:
        """Raise CertificateRefused for a revoked certificate, and for one of unknown standing unless that is fine."""
        leaf = chain[0]
        issuer = chain[1] if len(chain) > 1 else _issuer_among(leaf, (*sent, *settings.authorities))
        standing = Standing.UNKNOWN
        if issuer is not None:
            standing = await self._standing(leaf, issuer, settings, door, memory_size)
        if standing is Standing.REVOKED:
            raise CertificateRefused("it is revoked, says its OCSP responder")
        if standing is Standing.UNKNOWN and not settings.fail_open:
            raise CertificateRefused("no OCSP responder says that it is good")

    async def _standing(
        self,
        leaf: x509.Certificate,
        issuer: x509.Certificate,
        settings: OcspSettings,
        door: Outgoing,
        memory_size: int,
    ) -> Standing:
        key = (issuer.tbs_certificate_bytes, leaf.serial_number)
        known = self._memory.get(key)
        if known is not None and known.until is not None and known.until > self._clock.now():
            return known.standing
        try:
            async with asyncio.timeout(_DEADLINE):
                found = await self._ask_all(leaf, issuer, settings, door)
        except TimeoutError:
            _log.warning("OCSP responders did not answer within %g s", _DEADLINE)
            return Standing.UNKNOWN
        if found.until is not None and found.standing is not Standing.UNKNOWN:
            self._memory[key] = found
            self._memory.move_to_end(key)
            while len(self._memory) > memory_size:
                self._memory.popitem(last=False)
        return found.standing

    async def _ask_all(
        self, leaf: x509.Certificate, issuer: x509.Certificate, settings: OcspSettings, door: Outgoing
    ) -> Verdict:
        """Return what the responders say: the first that knows, or, when all are wanted, what all agree on."""
        verdicts = []
        for server in settings.servers or servers_of(leaf):
            found = await self._ask(server, leaf, issuer, settings, door)
            if found.standing is Standing.REVOKED or (found.standing is Standing.GOOD and not settings.query_all):
                return found
            verdicts.append(found)
        if not verdicts or any(each.standing is Standing.UNKNOWN for each in verdicts):
            return Verdict(Standing.UNKNOWN, None)
        ends = [each.until for each in verdicts if each.until is not None]
        return Verdict(Standing.GOOD, min(ends) if len(ends) == len(verdicts) else None)

    async def _ask(
        self, server: str, leaf: x509.Certificate, issuer: x509.Certificate, settings: OcspSettings, door: Outgoing
    ) -> Verdict:
        headers = {"Content-Type": "application/ocsp-request", "Accept": "application/ocsp-response"}
        request = OutgoingRequest(server, "POST", question(leaf, issuer), headers, max_size=_MAX_ANSWER, is_signed=True)
        for attempt in range(settings.retries + 1):
            if attempt:
                await asyncio.sleep(_FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                answer = await door.send(request)
                if answer.status == 200:
                    return verdict(answer.body, leaf, issuer, settings, self._clock.now())
                _log.warning("OCSP responder %s answered with status %d", server, answer.status)
            except OutgoingRefused as refusal:
                _log.warning("OCSP responder %s is not asked: %s", server, refusal.message)
                break
            except OutgoingFailed as failure:
                _log.warning("OCSP responder %s: %s", server, failure.message)
            except AnswerRefused as refusal:
                _log.warning("the answer of OCSP responder %s is not believed: %s", server, refusal)
                break
        return Verdict(Standing.UNKNOWN, None)


def _issuer_among(leaf: x509.Certificate, candidates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Return who issued a certificate that is trusted by itself, if it is known."""
    return next((each for each in candidates if each != leaf and is_issued_by(leaf, each)), None)
