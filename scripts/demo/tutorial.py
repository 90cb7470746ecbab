"""The tutorial: a managed key in SoftHSM, a root CA on it, a certificate for test.example.com.

Each step checks what it shows; `Unexpected` says what should have happened.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.demo.terminal import Outcome, Terminal

KEY = "learn-managed-key"
ROLE = "example-dot-com"

_REFUSED = 2
"""Exit status of the command line when the server said no."""


class Unexpected(Exception):
    """A step did not do what it should have done."""


@dataclass(frozen=True, slots=True)
class HsmToken:
    """The token inside SoftHSM, and the module that reaches it."""

    module: str
    label: str
    pin: str


class Tutorial:
    """The walk. `steps` in order; each is a method with a docstring that is its heading."""

    def __init__(self, terminal: Terminal, address: str, token: HsmToken, program: str = "chancery") -> None:
        """`program` is the command line to type: ours, or another that speaks the same API."""
        self._terminal = terminal
        self._address = address
        self._token = token
        self._program = program
        self._serial = ""

    def walk(self) -> None:
        """Make every step. Raises Unexpected at the first that goes wrong."""
        steps = [
            self._look,
            self._register,
            self._test,
            self._inspect,
            self._mount,
            self._refused,
            self._allow,
            self._root,
            self._urls,
            self._role,
            self._issue,
            self._verify,
        ]
        for number, step in enumerate(steps, 1):
            self._terminal.heading(number, (step.__doc__ or "").strip())
            step()

    def _look(self) -> None:
        """The server is initialised and unsealed"""
        self._expect(self._run(self._program, "status"), says=[r"Sealed\s+false"])

    def _register(self) -> None:
        """Register a managed key: where it lives, what it must be, that it may be generated there"""
        path = f"sys/managed-keys/pkcs11/{KEY}"
        written = self._run(
            self._program,
            "write",
            path,
            "library=softhsm",
            f"token_label={self._token.label}",
            f"pin={self._token.pin}",
            f"key_label={KEY}",
            "mechanism=0x0001",
            "key_bits=4096",
            "allow_generate_key=true",
            "allow_store_key=true",
            "any_mount=false",
        )
        self._expect(written, says=["Success"])
        self._terminal.say("")
        read = self._run(self._program, "read", path)
        self._expect(read, says=[r"pin\s+redacted", r"key_bits\s+4096"], silent_about=[self._token.pin])

    def _test(self) -> None:
        """Test it: the first use generates the key inside the token, signs, and verifies"""
        self._expect(self._run(self._program, "write", "-f", f"sys/managed-keys/pkcs11/{KEY}/test/sign"))

    def _inspect(self) -> None:
        """Ask the token itself: the private key is there, and can never leave"""
        shown = self._run(
            "pkcs11-tool",
            f"--module={self._token.module}",
            f"--token-label={self._token.label}",
            "--login",
            f"--pin={self._token.pin}",
            "--list-objects",
            "--type=privkey",
        )
        self._expect(shown, says=[rf"label:\s+{KEY}", "never extractable", "always sensitive"])

    def _mount(self) -> None:
        """Enable the PKI engine"""
        self._expect(self._run(self._program, "secrets", "enable", "pki"), says=["Success"])

    def _refused(self) -> None:
        """The mount may not use the key yet: this must be refused"""
        self._expect(self._generate(), status=_REFUSED, says=["allowed_managed_keys"])
        self._terminal.say("")
        self._terminal.say("  Refused, as it should be: any_mount is false, and no mount was granted the key.")

    def _allow(self) -> None:
        """Grant the key to the mount"""
        if self._program == "bao":  # its own server has no managed keys, so it has no flag for them
            tune = ["write", "sys/mounts/pki/tune", f"allowed_managed_keys={KEY}", "max_lease_ttl=87600h"]
        else:
            tune = ["secrets", "tune", f"-allowed-managed-keys={KEY}", "-max-lease-ttl=87600h", "pki"]
        tuned = self._run(self._program, *tune)
        self._expect(tuned, says=["Success"])

    def _root(self) -> None:
        """Generate the root certificate: signed inside the token"""
        self._expect(self._generate(), says=["BEGIN CERTIFICATE", r"serial_number\s+[0-9a-f:]{20,}"])
        self._save("root.pem", "pki/cert/ca")

    def _urls(self) -> None:
        """Say where clients find the CA certificate and the list of revoked ones"""
        self._expect(
            self._run(
                self._program,
                "write",
                "pki/config/urls",
                f"issuing_certificates={self._address}/v1/pki/ca",
                f"crl_distribution_points={self._address}/v1/pki/crl",
            )
        )

    def _role(self) -> None:
        """Create a role: who gets what kind of certificate"""
        self._expect(
            self._run(
                self._program,
                "write",
                f"pki/roles/{ROLE}",
                "allowed_domains=example.com",
                "allow_subdomains=true",
                "max_ttl=72h",
            )
        )

    def _issue(self) -> None:
        """Issue a certificate for test.example.com"""
        issued = self._run(self._program, "write", f"pki/issue/{ROLE}", "common_name=test.example.com")
        self._expect(issued, says=["BEGIN CERTIFICATE", "PRIVATE KEY"])
        found = re.search(r"^serial_number\s+([0-9a-f:]{20,})$", issued.output, flags=re.MULTILINE)
        if found is None:
            raise Unexpected("the answer has no serial_number")
        self._save("test.example.com.pem", f"pki/cert/{found[1]}")

    def _verify(self) -> None:
        """Let OpenSSL judge"""
        self._expect(
            self._run("openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "test.example.com.pem"),
            says=["test.example.com.pem: OK"],
        )
        self._terminal.say("")
        shown = self._run(
            "openssl",
            "x509",
            "-in",
            "test.example.com.pem",
            "-noout",
            "-subject",
            "-issuer",
            "-dates",
            "-ext",
            "subjectAltName,keyUsage,extendedKeyUsage,crlDistributionPoints",
        )
        self._expect(shown, says=["DNS:test.example.com"])

    def _generate(self) -> Outcome:
        return self._run(
            self._program,
            "write",
            "pki/root/generate/kms",
            f"managed_key_name={KEY}",
            "common_name=example.com",
            "ttl=8760h",
        )

    def _save(self, name: str, path: str) -> None:
        self._terminal.say("")
        self._expect(self._terminal.run([self._program, "read", "-field=certificate", path], into=name))

    def _run(self, *command: str) -> Outcome:
        return self._terminal.run(command)

    def _expect(
        self, outcome: Outcome, *, status: int = 0, says: Sequence[str] = (), silent_about: Sequence[str] = ()
    ) -> None:
        """Check the exit status, patterns that the output must show, and texts that it must not."""
        if outcome.status != status:
            raise Unexpected(f"exit status {outcome.status}, expected {status}")
        for pattern in says:
            if not re.search(pattern, outcome.output):
                raise Unexpected(f"the answer does not show {pattern}")
        if any(text in outcome.output for text in silent_about):
            raise Unexpected("the answer shows a secret")
