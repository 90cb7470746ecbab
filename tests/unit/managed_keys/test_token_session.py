"""The signer's session logic over a module in memory whose behaviour the test chooses."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from managed_keys.keys import KeyAlgorithm, SignatureScheme
from managed_keys.providers.pkcs11 import ckr
from managed_keys.providers.pkcs11 import cryptoki as c
from managed_keys.providers.pkcs11.ckr import Fault, Remedy
from managed_keys.providers.pkcs11.messages import Failure, Find, Generate, Introduce, Login, TokenFacts
from managed_keys.providers.pkcs11.objects import CURVE_OIDS
from managed_keys.providers.pkcs11.token import TokenSession
from managed_keys.schemes import ecdsa_raw
from managed_keys.verification import spki_of

LOGIN = Login("/m.so", "", "tok", "", "1234", False, False)
ORDER = Generate(b"\x01\x02", "label", KeyAlgorithm.EC, 256, False)


class MemoryModule:
    """A PKCS#11 module with P-256 keys only."""

    def __init__(self, path: str = "") -> None:
        self.flags = c.CKF_TOKEN_INITIALIZED
        self.labels = ["tok"]
        self.serial = "1"
        self.state = 3
        self.objects: dict[int, dict[int, bytes]] = {}
        self.private: dict[int, ec.EllipticCurvePrivateKey] = {}
        self.calls: list[str] = []
        self.failing: dict[str, list[int]] = {}
        self.override: dict[int, bytes] = {}
        self.bare_points = False
        self.handles = iter(range(1, 1000))

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if self.failing.get(name):
            c._raise(name, self.failing[name].pop(0))

    def initialize(self, parameters: str = "") -> None:
        self._note("initialize")

    def finalize(self) -> None:
        self._note("finalize")

    def slots(self) -> list[int]:
        return list(range(len(self.labels)))

    def token(self, slot: int) -> c.TokenInfo:
        self._note("token")
        return c.TokenInfo(self.labels[slot], "model", self.serial, self.flags)

    def mechanisms(self, slot: int) -> tuple[int, ...]:
        return (0x1041, 0x1040)

    def open_session(self, slot: int, *, read_write: bool) -> int:
        self._note("open_session")
        return next(self.handles)

    def close_session(self, session: int) -> None:
        self._note("close_session")

    def close_all_sessions(self, slot: int) -> None:
        self._note("close_all_sessions")

    def login(self, session: int, pin: str) -> None:
        self._note("login")

    def session_state(self, session: int) -> int:
        return self.state

    def find(self, session: int, template: c.Template, limit: int = 16) -> list[int]:
        self._note("find")
        return [at for at, values in self.objects.items() if all(values.get(kind) == want for kind, want in template)]

    def read(self, session: int, handle: int, kinds: Iterable[int]) -> dict[int, bytes]:
        values = self.objects[handle] | (self.override if handle in self.private else {})
        return {kind: values[kind] for kind in kinds if kind in values}

    def generate_pair(self, session: int, mechanism: c.Mechanism, public: Any, private: Any) -> tuple[int, int]:
        self._note("generate_pair")
        key = ec.generate_private_key(ec.SECP256R1())
        return self.add(key, dict(public), dict(private))

    def add(
        self, key: ec.EllipticCurvePrivateKey, public: dict[int, bytes], private: dict[int, bytes]
    ) -> tuple[int, int]:
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        kind = {c.CKA_KEY_TYPE: c.number(c.CKK_EC), c.CKA_EC_PARAMS: CURVE_OIDS[256]}
        at = next(self.handles), next(self.handles)
        wrapped = point if self.bare_points else b"\x04\x41" + point
        self.objects[at[0]] = {c.CKA_CLASS: c.number(2), **kind, c.CKA_EC_POINT: wrapped} | public
        self.objects[at[1]] = {c.CKA_CLASS: c.number(3), **kind} | private
        self.private[at[1]] = key
        return at

    def destroy(self, session: int, handle: int) -> None:
        self._note("destroy")
        del self.objects[handle]

    def sign(self, session: int, key: int, mechanism: c.Mechanism, data: bytes) -> bytes:
        self._note("sign")
        if key not in self.objects:
            c._raise("C_SignInit", 0x82)
        der = self.private[key].sign(data, ec.ECDSA(utils.Prehashed(SHA256())))
        return ecdsa_raw(der, 32)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> MemoryModule:
    """Return the module that sessions will load."""
    module = MemoryModule()
    monkeypatch.setattr(c, "Module", lambda path: module)
    return module


@pytest.fixture
def session(module: MemoryModule) -> TokenSession:
    """Return a session that is logged in."""
    session = TokenSession()
    session.login(LOGIN)
    module.calls.clear()
    return session


def failure_of(action: Callable[[], object]) -> Failure:
    """Return how it fails."""
    with pytest.raises(Failure) as caught:
        action()
    return caught.value


def introduced(session: TokenSession) -> Introduce:
    """Generate a key and introduce it under the number 1."""
    found = session.generate(ORDER)
    introduction = Introduce(1, found.cka_id, "", found.spki, 0x1041)
    session.introduce(introduction)
    return introduction


def sign(session: TokenSession) -> bytes:
    """Sign with key 1."""
    return session.sign(1, SignatureScheme.ECDSA_SHA256, b"m")


class TestLogin:
    def test_facts(self, module: MemoryModule) -> None:
        assert TokenSession().login(LOGIN) == TokenFacts("tok", "1", "model", (0x1040, 0x1041))

    def test_a_locked_pin_is_not_tried(self, module: MemoryModule) -> None:
        module.flags |= c.CKF_USER_PIN_LOCKED
        failure = failure_of(lambda: TokenSession().login(LOGIN))
        assert (failure.fault, failure.code) == (Fault.PIN, ckr.PIN_LOCKED)
        assert "login" not in module.calls

    def test_the_last_try_is_left_to_people(self, module: MemoryModule) -> None:
        module.flags |= c.CKF_USER_PIN_FINAL_TRY
        failure = failure_of(lambda: TokenSession().login(LOGIN))
        assert failure.fault is Fault.PIN
        assert "one try is left" in failure.text
        assert "login" not in module.calls

    def test_two_tokens_with_one_label(self, module: MemoryModule) -> None:
        module.labels = ["tok", "tok"]
        assert failure_of(lambda: TokenSession().login(LOGIN)).fault is Fault.AMBIGUOUS

    def test_a_token_that_is_not_initialised_has_no_label(self, module: MemoryModule) -> None:
        module.flags = 0
        assert failure_of(lambda: TokenSession().login(LOGIN)).fault is Fault.AWAY

    def test_initialising_anew_happens_on_demand_only(self, session: TokenSession, module: MemoryModule) -> None:
        session.login(LOGIN)
        assert "initialize" not in module.calls
        session.login(Login("/m.so", "", "tok", "", "1234", False, True))
        assert module.calls.index("finalize") < module.calls.index("initialize")

    def test_a_failed_initialisation_is_made_good_by_the_next_login(
        self, session: TokenSession, module: MemoryModule
    ) -> None:
        module.failing["initialize"] = [0x5]
        again = Login("/m.so", "", "tok", "", "1234", False, True)
        assert failure_of(lambda: session.login(again)).remedy is Remedy.REINITIALISE
        module.calls.clear()
        session.login(LOGIN)
        assert module.calls[0] == "initialize"

    def test_before_any_login_nothing_works(self) -> None:
        assert failure_of(lambda: TokenSession().find(Find(b"", "x"))).remedy is Remedy.REOPEN


class TestSearch:
    def test_nothing_found_in_a_good_session_means_absent(self, session: TokenSession) -> None:
        assert failure_of(lambda: session.find(Find(b"", "x"))).fault is Fault.KEY_ABSENT

    def test_nothing_found_after_a_lost_login_means_try_again(
        self, session: TokenSession, module: MemoryModule
    ) -> None:
        module.state = 0
        failure = failure_of(lambda: session.find(Find(b"", "x")))
        assert (failure.fault, failure.remedy) == (Fault.AWAY, Remedy.REOPEN)

    def test_nothing_found_in_another_token_means_the_token_is_gone(
        self, session: TokenSession, module: MemoryModule
    ) -> None:
        module.serial = "2"
        failure = failure_of(lambda: session.find(Find(b"", "x")))
        assert (failure.fault, failure.remedy) == (Fault.AWAY, Remedy.REINITIALISE)

    @pytest.mark.parametrize("bare", [True, False])
    def test_points_come_wrapped_or_bare(self, session: TokenSession, module: MemoryModule, bare: bool) -> None:
        module.bare_points = bare
        found = session.generate(ORDER)
        assert found.spki == spki_of(next(iter(module.private.values())).public_key())


class TestGeneration:
    def test_a_key_with_the_identifier_is_the_answer(self, session: TokenSession, module: MemoryModule) -> None:
        assert session.generate(ORDER) == session.generate(ORDER)
        assert module.calls.count("generate_pair") == 1

    @pytest.mark.parametrize(
        ("attribute", "value", "words"),
        [
            (c.CKA_EXTRACTABLE, b"\x01", "is extractable"),
            (c.CKA_SENSITIVE, b"\x00", "is not sensitive"),
            (c.CKA_NEVER_EXTRACTABLE, b"\x00", "is not never extractable"),
            (c.CKA_TOKEN, b"\x00", "is not a token object"),
            (c.CKA_DECRYPT, b"\x01", "is allowed to decrypt"),
            (c.CKA_ID, b"\x09", "has another CKA_ID"),
        ],
    )
    def test_a_key_that_is_less_than_demanded_is_destroyed(
        self, session: TokenSession, module: MemoryModule, attribute: int, value: bytes, words: str
    ) -> None:
        module.override = {attribute: value}
        failure = failure_of(lambda: session.generate(ORDER))
        assert words in failure.text
        assert module.objects == {}

    def test_the_session_for_writing_is_closed_again(self, session: TokenSession, module: MemoryModule) -> None:
        module.failing["generate_pair"] = [0xE2]
        assert "CKR_TOKEN_WRITE_PROTECTED" in failure_of(lambda: session.generate(ORDER)).text
        assert module.calls[-1] == "close_session"

    def test_kinds_that_the_token_lacks(self, session: TokenSession) -> None:
        order = Generate(b"\x01", "l", KeyAlgorithm.RSA, 2048, False)
        failure = failure_of(lambda: session.generate(order))
        assert failure.text == "the token cannot generate rsa keys of 2048 bits"


class TestSigning:
    def test_a_stale_handle_is_searched_for_again(self, session: TokenSession, module: MemoryModule) -> None:
        introduced(session)
        sign(session)
        module.failing["sign"] = [0x82]
        module.calls.clear()
        assert sign(session)
        assert module.calls == ["sign", "find", "sign"]

    def test_a_cancelled_call_is_repeated_once(self, session: TokenSession, module: MemoryModule) -> None:
        introduced(session)
        module.failing["sign"] = [0x50]
        assert sign(session)
        module.failing["sign"] = [0x50, 0x50]
        assert failure_of(lambda: sign(session)).remedy is Remedy.RETRY

    @pytest.mark.parametrize(("code", "remedy"), [(0xB3, Remedy.REOPEN), (0x30, Remedy.REINITIALISE)])
    def test_greater_troubles_go_to_the_server(
        self, session: TokenSession, module: MemoryModule, code: int, remedy: Remedy
    ) -> None:
        introduced(session)
        module.failing["sign"] = [code]
        assert failure_of(lambda: sign(session)).remedy is remedy

    def test_a_new_login_searches_anew(self, session: TokenSession, module: MemoryModule) -> None:
        introduced(session)
        sign(session)
        session.login(LOGIN)
        module.calls.clear()
        sign(session)
        assert module.calls == ["find", "sign"]

    def test_a_replaced_key_is_noticed(self, session: TokenSession, module: MemoryModule) -> None:
        introduced(session)
        for handle in module.private:
            module.private[handle] = ec.generate_private_key(ec.SECP256R1())
        assert failure_of(lambda: sign(session)).fault is Fault.UNVERIFIED

    def test_schemes_without_a_mechanism(self, session: TokenSession) -> None:
        introduction = introduced(session)
        session.introduce(Introduce(2, introduction.cka_id, "", introduction.spki, 0x1))
        failure = failure_of(lambda: session.sign(2, SignatureScheme.RSA_PKCS1_SHA256, b"m"))
        assert failure.fault is Fault.UNSUPPORTED

    def test_a_key_without_an_identifier_goes_by_its_label(self, session: TokenSession, module: MemoryModule) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        module.add(key, {c.CKA_LABEL: b"plain"}, {c.CKA_LABEL: b"plain"})
        found = session.find(Find(b"", "plain"))
        assert found.cka_id == b""
        session.introduce(Introduce(1, b"", "plain", found.spki, 0x1041))
        assert sign(session)

    def test_a_forgotten_key_has_no_number(self, session: TokenSession) -> None:
        introduced(session)
        session.forget(1)
        session.forget(1)
        with pytest.raises(KeyError):
            sign(session)


def test_closing_ends_the_module_once(session: TokenSession, module: MemoryModule) -> None:
    session.close()
    session.close()
    assert module.calls == ["finalize"]
