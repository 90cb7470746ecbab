"""One logged-in session with one token, inside a signer process: search, generation, signatures.

Errors are `Failure`. Those whose remedy is RETRY or SEARCH are cured here, once; the others go to the server, which
decides when to log in again: a signer keeps no PIN.
"""

from dataclasses import dataclass, field

from managed_keys.keys import KeyAlgorithm, SignatureScheme
from managed_keys.providers.pkcs11 import ckr, mechanisms, objects, wrapping
from managed_keys.providers.pkcs11 import cryptoki as c
from managed_keys.providers.pkcs11.ckr import Fault, Remedy
from managed_keys.providers.pkcs11.mechanisms import Operand, Plan
from managed_keys.providers.pkcs11.messages import (
    Failure,
    Find,
    FoundKey,
    Generate,
    Introduce,
    Login,
    TokenFacts,
    Unwrap,
    Wrap,
    Wrapped,
)
from managed_keys.providers.pkcs11.wrapping import OpenToken
from managed_keys.schemes import PARTS, curve_width, digest_info, ecdsa_der
from managed_keys.verification import Verifier, load_public_key


@dataclass(slots=True)
class _Recipe:
    """A plan ready for the module."""

    plan: Plan
    mechanism: c.Mechanism


@dataclass(slots=True)
class _Key:
    """A key that was introduced. `handle` is 0 until it was searched for; `width` is r's on a curve, 0 for RSA."""

    introduction: Introduce
    verifier: Verifier
    width: int
    handle: int = 0
    recipes: dict[SignatureScheme, _Recipe] = field(default_factory=dict)


class TokenSession:
    """A module, a token in it, and the keys that were introduced."""

    def __init__(self) -> None:
        self._module: c.Module | None = None
        self._initialized = False
        self._slot = -1
        self._session = 0
        self._serial = ""
        self._mechanisms: frozenset[int] = frozenset()
        self._keys: dict[int, _Key] = {}

    @property
    def _loaded(self) -> c.Module:
        if self._module is None:
            raise Failure(Fault.AWAY, "nobody has logged in yet", remedy=Remedy.REOPEN)
        return self._module

    def login(self, request: Login) -> TokenFacts:
        """Open the token. Whatever was open before is closed."""
        if self._module is None:
            self._module = c.Module(request.library)
        module = self._module
        self._forget_handles()
        if self._initialized and request.reinitialise:
            self._initialized = False
            module.finalize()
        if not self._initialized:
            module.initialize(request.initialization)
            self._initialized = True
        self._slot = self._find_slot(module, request)
        info = module.token(self._slot)
        _refuse_dangerous_login(info)
        self._serial, self._mechanisms = info.serial, frozenset(module.mechanisms(self._slot))
        module.close_all_sessions(self._slot)
        self._session = module.open_session(self._slot, read_write=request.read_write)
        module.login(self._session, request.pin)
        return TokenFacts(info.label, info.serial, info.model, tuple(sorted(self._mechanisms)))

    def _forget_handles(self) -> None:
        for key in self._keys.values():
            key.handle = 0

    @staticmethod
    def _find_slot(module: c.Module, request: Login) -> int:
        slots = module.slots()
        if request.slot:
            if int(request.slot) in slots:
                return int(request.slot)
            raise Failure(Fault.AWAY, "there is no token in this slot", code=ckr.TOKEN_NOT_PRESENT)
        fitting = [slot for slot in slots if _has_label(module, slot, request.token_label)]
        if len(fitting) > 1:
            raise Failure(Fault.AMBIGUOUS, f"{len(fitting)} tokens have this label: name one by its slot instead")
        if not fitting:
            raise Failure(Fault.AWAY, "there is no token with this label", code=ckr.TOKEN_NOT_PRESENT)
        return fitting[0]

    def introduce(self, introduction: Introduce) -> None:
        """Remember a key by its number. Contacts nothing."""
        public = load_public_key(introduction.spki)
        width = curve_width(public.bits) if public.algorithm is KeyAlgorithm.EC else 0
        self._keys[introduction.number] = _Key(introduction, Verifier(introduction.spki), width)

    def forget(self, number: int) -> None:
        """Forget a number."""
        self._keys.pop(number, None)

    def find(self, request: Find) -> FoundKey:
        """Search for one private key. Raises Failure KEY_ABSENT or AMBIGUOUS."""
        return self._describe(self._search(request.cka_id, request.label))

    def _search(self, cka_id: bytes, label: str) -> int:
        remedy = "remove all but one" if cka_id else "name the one that is meant by its key_id"
        return self._search_one(objects.private_key_template(cka_id, label), remedy)

    def _search_one(self, template: c.Template, remedy: str = "remove all but one") -> int:
        found = self._loaded.find(self._session, template)
        kind = "private" if (c.CKA_CLASS, c.number(c.CKO_PRIVATE_KEY)) in template else "secret"
        if len(found) > 1:
            by = "CKA_ID" if any(name == c.CKA_ID for name, _ in template) else "label"
            raise Failure(Fault.AMBIGUOUS, f"{len(found)} {kind} keys have this {by}: {remedy}")
        if not found:
            self._require_presence()
            raise Failure(Fault.KEY_ABSENT, f"the token has no such {kind} key")
        return found[0]

    def _require_presence(self) -> None:
        """Tell a key that is gone from a token that is: searches in a lost session find nothing and say no more."""
        if self._loaded.session_state(self._session) not in c.USER_STATES:
            raise Failure(Fault.AWAY, "the login is lost", remedy=Remedy.REOPEN, code=ckr.USER_NOT_LOGGED_IN)
        if self._loaded.token(self._slot).serial != self._serial:
            raise Failure(
                Fault.AWAY, "another token is in the slot", remedy=Remedy.REINITIALISE, code=ckr.DEVICE_REMOVED
            )

    def _describe(self, handle: int) -> FoundKey:
        module, session = self._loaded, self._session
        values = module.read(session, handle, (c.CKA_ID, c.CKA_LABEL))
        spki = objects.spki_of_private_key(module, session, handle)
        label = values.get(c.CKA_LABEL, b"").decode("utf-8", "replace")
        return FoundKey(values.get(c.CKA_ID, b""), label, spki)

    def generate(self, request: Generate) -> FoundKey:
        """Generate a key pair, or return the one that has this CKA_ID already.

        Raises Failure when the token lacks the mechanism, or made a key that is less protected than demanded; such a
        key is destroyed again.
        """
        module = self._loaded
        existing = module.find(self._session, objects.private_key_template(request.cka_id, ""))
        if existing:
            return self._describe(existing[0])
        self._require_presence()
        session = module.open_session(self._slot, read_write=True)
        try:
            public, private = self._generate_pair(session, request)
            complaints = objects.disregarded(module, session, private, request)
            if complaints:
                module.destroy(session, private)
                module.destroy(session, public)
                raise Failure(Fault.REFUSED, f"the generated key {', '.join(complaints)}; it was destroyed again")
            return self._describe(private)
        finally:
            module.close_session(session)

    def _generate_pair(self, session: int, request: Generate) -> tuple[int, int]:
        public, private = objects.public_template(request), objects.private_template(request)
        refusal: Failure | None = None
        for mechanism, parts in objects.key_pair_mechanisms(request):
            if mechanism not in self._mechanisms:
                continue
            try:
                return self._loaded.generate_pair(session, c.Mechanism(mechanism), [*public, *parts], private)
            except Failure as failure:
                if failure.remedy is not Remedy.NONE:
                    raise
                refusal = failure
        what = f"{request.algorithm} keys of {request.bits} bits" if request.bits else f"{request.algorithm} keys"
        raise refusal or Failure(Fault.UNSUPPORTED, f"the token cannot generate {what}")

    def wrap(self, order: Wrap) -> Wrapped:
        """Encrypt a secret under a key of the token."""
        return wrapping.wrap(self._open_token(), order)

    def unwrap(self, order: Unwrap) -> bytes:
        """Decrypt what was wrapped."""
        return wrapping.unwrap(self._open_token(), order)

    def _open_token(self) -> OpenToken:
        return OpenToken(
            self._loaded, self._slot, self._session, self._mechanisms, self._search_one, generate_pair=self.generate
        )

    def sign(self, number: int, scheme: SignatureScheme, message: bytes) -> bytes:
        """Sign with an introduced key, and return the signature after verifying it under the pinned public key."""
        key = self._keys[number]
        recipe = key.recipes.get(scheme) or self._prepare(key, scheme)
        digest_kind = PARTS[scheme].digest
        digest = digest_kind.of(message) if digest_kind is not None else b""
        operand = message
        if recipe.plan.operand is Operand.DIGEST_INFO and digest_kind is not None:
            operand = digest_info(digest_kind, digest)
        elif recipe.plan.operand is Operand.DIGEST:
            # A digest longer than the curve is cut to its leftmost octets (FIPS 186-5, 6.4.1); not every token does it.
            operand = digest[: key.width] if key.width else digest
        raw = self._sign_persistently(key, recipe.mechanism, operand)
        signature = ecdsa_der(raw) if key.width else raw
        if not key.verifier.accepts(signature, scheme, message, digest):
            raise Failure(
                Fault.UNVERIFIED,
                "its signature does not verify under the pinned public key: the key in the token was replaced, "
                "or the token computes wrongly",
            )
        return signature

    def _sign_persistently(self, key: _Key, mechanism: c.Mechanism, operand: bytes) -> bytes:
        again = True
        while True:
            if not key.handle:
                introduction = key.introduction
                label = "" if introduction.cka_id else introduction.label
                key.handle = self._search(introduction.cka_id, label)
            try:
                return self._loaded.sign(self._session, key.handle, mechanism, operand)
            except Failure as failure:
                if failure.remedy not in {Remedy.RETRY, Remedy.SEARCH} or not again:
                    raise
                again = False
                if failure.remedy is Remedy.SEARCH:
                    key.handle = 0

    def _prepare(self, key: _Key, scheme: SignatureScheme) -> _Recipe:
        plan = mechanisms.plan(scheme, key.introduction.mechanism, self._mechanisms)
        if plan is None:
            raise Failure(Fault.UNSUPPORTED, f"the token has no mechanism for {scheme.value} signatures")
        parameter = b"".join(c.number(part) for part in plan.pss) if plan.pss else b""
        recipe = key.recipes[scheme] = _Recipe(plan, c.Mechanism(plan.mechanism, parameter))
        return recipe

    def close(self) -> None:
        """Log out of everything by ending the module."""
        if self._module is not None and self._initialized:
            self._initialized = False
            self._module.finalize()


def _has_label(module: c.Module, slot: int, label: str) -> bool:
    try:
        info = module.token(slot)
    except Failure as failure:
        if failure.remedy is Remedy.RESTART:
            raise
        return False  # a broken reader beside ours must not hide our token
    return bool(info.flags & c.CKF_TOKEN_INITIALIZED) and info.label == label


def _refuse_dangerous_login(info: c.TokenInfo) -> None:
    """Stop before a login that cannot succeed, or that would lock the token if the PIN were wrong."""
    if info.flags & c.CKF_USER_PIN_LOCKED:
        raise Failure(Fault.PIN, "the PIN is locked: its security officer must unlock it", code=ckr.PIN_LOCKED)
    if info.flags & c.CKF_USER_PIN_FINAL_TRY:
        raise Failure(
            Fault.PIN,
            "one try is left before the PIN locks: log in once by other means, with the right PIN, to reset the count",
            code=ckr.PIN_INCORRECT,
        )
