"""What the method asks of a cluster's API server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import orjson

from chancery.auth.jose.tokens import TokenRefused
from chancery.auth.kubernetes.accounts import ServiceAccount, reviewed
from chancery.kit.outgoing import Outgoing, OutgoingAnswer, OutgoingFailed, OutgoingRequest

_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ANNOTATION: Final = "vault.hashicorp.com/alias-metadata-"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """One API server, asked in the name of one bearer token."""

    host: str
    ca_pem: str
    bearer: str
    door: Outgoing

    async def review(self, token: str, audience: str) -> ServiceAccount:
        """Ask whose token it is. Raises TokenRefused, and OutgoingFailed when nobody can say."""
        spec = {"token": token} | ({"audiences": [audience]} if audience else {})
        document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        answer = await self._send(
            OutgoingRequest(self.host + _REVIEWS, "POST", orjson.dumps(document), self._headers(), self.ca_pem)
        )
        return reviewed(_json(answer), audience)

    async def labels(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        return await self._metadata(f"/api/v1/namespaces/{quote(namespace, safe='')}", "labels")

    async def alias_metadata(self, account: ServiceAccount) -> Mapping[str, str]:
        """Return what a service account's annotations want kept with its alias."""
        path = f"/api/v1/namespaces/{quote(account.namespace, safe='')}/serviceaccounts/{quote(account.name, safe='')}"
        annotations = await self._metadata(path, "annotations")
        return {key.removeprefix(_ANNOTATION): annotations[key] for key in annotations if key.startswith(_ANNOTATION)}

    async def _metadata(self, path: str, member: str) -> Mapping[str, str]:
        document = _json(
            await self._send(OutgoingRequest(self.host + path, headers=self._headers(), ca_pem=self.ca_pem))
        )
        metadata = document.get("metadata")
        found = metadata.get(member) if isinstance(metadata, Mapping) else None
        if found is None:
            return {}
        if not isinstance(found, Mapping) or not all(isinstance(value, str) for value in found.values()):
            raise OutgoingFailed(f"{self.host}{path}: {member} are no map of text")
        return found

    async def _send(self, request: OutgoingRequest) -> OutgoingAnswer:
        answer = await self.door.send(request)
        if answer.status in {401, 403}:
            raise TokenRefused(f"{request.url}: status {answer.status}: whoever asks is unknown there, or may not ask")
        if answer.status not in {200, 201}:
            raise OutgoingFailed(f"{request.url}: answered with status {answer.status}")
        return answer

    def _headers(self) -> Mapping[str, str]:
        return {
            "Authorization": f"Bearer {self.bearer}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }


def _json(answer: OutgoingAnswer) -> Mapping[str, Any]:
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, Mapping):
        raise OutgoingFailed("the API server's answer is no JSON object")
    return document
