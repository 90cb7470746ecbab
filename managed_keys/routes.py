"""`sys/managed-keys/*`: one set of routes for each type that is installed, and a refusal for every other."""

import secrets
from collections.abc import Sequence
from typing import NoReturn

from pydantic import Field

from chancery.kit.errors import BadInput
from chancery.kit.params import LaxBool, NoParams, Params, Text
from chancery.kit.request import Reply, Request, listing
from chancery.kit.route import Route, endpoint
from managed_keys.catalogue import Catalogue
from managed_keys.keys import KeyAlgorithm, PublicKey, SignatureScheme, Usage
from managed_keys.parameters import KeyParameters
from managed_keys.provider import Backend, ProviderType
from managed_keys.registry import Registry, require_usage
from managed_keys.schemes import PARTS, Digest
from managed_keys.verification import Verifier, pem_of

_DIGESTS = {"sha1": Digest.SHA1} | {
    f"sha{family}-{size}": Digest(f"sha{size}" if family == 2 else f"sha3-{size}")
    for family in (2, 3)
    for size in (224, 256, 384, 512)
}
_TEST_BYTES = 64


class NameParams(Params):
    """The path alone."""

    name: Text = Field(description="Name of the managed key")


class SigningTest(NameParams):
    """What the test of a key accepts."""

    use_pss: LaxBool = Field(False, description="Use RSA-PSS, with a salt as long as the digest")
    hash_algorithm: Text = Field("sha2-256", description="Digest: " + ", ".join(_DIGESTS))


class TypeRoutes:
    """The routes of one type."""

    def __init__(self, provider: ProviderType, backend: Backend, registry: Registry) -> None:
        self._type, self._backend, self._registry = provider.name, backend, registry
        self._parameters = provider.parameters
        self._catalogue: Catalogue = registry.catalogue

    def routes(self) -> Sequence[Route]:
        """Return them."""
        fields = ("UUID", "type", *self._parameters.model_fields)
        tested = ("signature_algorithm", "public_key", "key_type", "key_bits", "generated")
        return [
            Route(pattern=f"managed-keys/{self._type}", list=endpoint(self.list, responses=("keys",))),
            Route(
                pattern=f"managed-keys/{self._type}/{{name}}",
                read=endpoint(self.read, NameParams, responses=fields),
                update=endpoint(self.write, self._parameters),
                delete=endpoint(self.delete, NameParams),
            ),
            Route(
                pattern=f"managed-keys/{self._type}/{{name}}/test/sign",
                update=endpoint(self.test_sign, SigningTest, responses=tested),
            ),
        ]

    async def list(self, request: Request, params: NoParams) -> Reply:  # noqa: ARG002  # takes nothing
        """List the managed keys of this type."""
        return listing(await self._catalogue.names(request.namespace_id, self._type))

    async def read(self, request: Request, params: NameParams) -> Reply:
        """Read the configuration of a managed key, its secrets redacted."""
        entry = await self._catalogue.get(request.namespace_id, self._type, params.name)
        return Reply({"UUID": entry.uuid, "type": entry.type, **self._catalogue.parameters(entry).rendered()})

    async def write(self, request: Request, params: KeyParameters) -> None:
        """Create a managed key, or change the fields that are submitted. The backend is not contacted."""
        await self._catalogue.write(request.namespace_id, self._type, params.name, request.raw, self._backend)

    async def delete(self, request: Request, params: NameParams) -> None:
        """Delete the configuration of a managed key; the key itself stays in its backend."""
        uuid = await self._catalogue.delete(request.namespace_id, self._type, params.name)
        if uuid:
            self._registry.forget(uuid)

    async def test_sign(self, request: Request, params: SigningTest) -> Reply:
        """Sign random data with a managed key and verify it; generates the key if it is absent and that is allowed."""
        before = await self._catalogue.get(request.namespace_id, self._type, params.name)
        require_usage(before.name, self._catalogue.parameters(before), Usage.SIGN)
        document = await self._catalogue.by_name(request.namespace_id, params.name)
        key = await self._registry.open_entry(request.namespace_id, document)
        scheme = scheme_under_test(key.public_key, params)
        message = secrets.token_bytes(_TEST_BYTES)
        signature = await key.sign(message, scheme)
        digest = PARTS[scheme].digest
        verified = Verifier(key.public_key.spki).accepts(
            signature, scheme, message, digest.of(message) if digest else b""
        )
        assert verified, "the guard lets no other signature through"
        after = await self._catalogue.get(request.namespace_id, self._type, params.name)
        return Reply(
            {
                "signature_algorithm": scheme.value,
                "public_key": pem_of(key.public_key),
                "key_type": key.public_key.algorithm.value,
                "key_bits": key.public_key.bits,
                "generated": before.pinned is None and after.pinned is not None and after.pinned.generated,
            }
        )


def scheme_under_test(key: PublicKey, params: SigningTest) -> SignatureScheme:
    """Return the scheme that a test asks for. Raises BadInput for an unknown digest."""
    digest = _DIGESTS.get(params.hash_algorithm.lower())
    if digest is None:
        raise BadInput.of("hash_algorithm", f"expected one of {', '.join(_DIGESTS)}")
    if key.algorithm is KeyAlgorithm.ED25519:
        return SignatureScheme.ED25519
    if key.algorithm is KeyAlgorithm.EC:
        return SignatureScheme(f"ecdsa-{digest.value}")
    return SignatureScheme(f"rsa-{'pss' if params.use_pss else 'pkcs1'}-{digest.value}")


class UnknownType:
    """Refuses types that are not installed, in the words that Terraform recognises."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def routes(self) -> Sequence[Route]:
        """Return routes that literal types win over."""
        refusal = endpoint(self.refuse, UnknownTypeParams, "Refused: the type is not installed")
        entry = Route(pattern="managed-keys/{type}/{name}", read=refusal, update=refusal, delete=refusal)
        return [
            Route(pattern="managed-keys/{type}", list=refusal),
            entry,
            Route(pattern="managed-keys/{type}/{name}/test/sign", update=refusal),
        ]

    async def refuse(self, request: Request, params: "UnknownTypeParams") -> NoReturn:  # noqa: ARG002  # always refused
        """Refuse."""
        self._catalogue.provider(params.type)
        raise AssertionError("a type that is installed has routes of its own")


class UnknownTypeParams(Params):
    """The path alone."""

    type: Text = Field(description="Type of the managed key")
