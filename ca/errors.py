"""What the CA refuses, within the kit's tree of errors."""

from collections.abc import Sequence

from chancery.kit.errors import BadInput, Problem


class RequestRefused(BadInput):
    """A role, an issuer or a rule of X.509 forbids what was asked. The message is the reason, in Vault's words."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason, problems=[Problem(field, reason)])

    @classmethod
    def all_of(cls, problems: Sequence[Problem]) -> "RequestRefused":
        """Build one refusal that names every problem. At least one is needed."""
        refusal = cls(problems[0].field, "; ".join(problem.reason for problem in problems))
        refusal.problems = tuple(problems)
        return refusal
