"""What is counted of tokens: how much waits, how many processes are there, and what went wrong by Cryptoki's name."""

from collections.abc import Sequence
from dataclasses import dataclass

from chancery.kit.metrics import Meter
from managed_keys.providers.pkcs11.address import TokenAddress
from managed_keys.providers.pkcs11.ckr import meaning
from managed_keys.providers.pkcs11.messages import Failure


@dataclass(frozen=True, slots=True)
class Load:
    """What one pool has to do: requests that wait, requests that processes are working on, processes."""

    waiting: int
    working: int
    processes: int


class TokenMeasures:
    """The series of one token."""

    def __init__(self, meter: Meter, address: TokenAddress) -> None:
        self._meter = meter
        self.place = (address.library.name, address.token_label or f"slot {address.slot}")
        self._labels = dict(zip(("library", "token"), self.place, strict=True))
        self._waiting = meter.gauge(
            "chancery_signer_queue_depth", "Requests to a token that no signer process has begun.", **self._labels
        )
        self._working = meter.gauge(
            "chancery_signer_requests", "Requests that signer processes have not answered.", **self._labels
        )
        self._processes = meter.gauge(
            "chancery_signer_processes", "Signer processes that are logged in to a token.", **self._labels
        )

    def show(self, loads: Sequence[Load]) -> None:
        """Say how it is now, all pools of the token together."""
        self._waiting.set(sum(load.waiting for load in loads))
        self._working.set(sum(load.working for load in loads))
        self._processes.set(sum(load.processes for load in loads))

    def failed(self, failure: Failure) -> None:
        """Count a failure, those included that trying again made good."""
        self._meter.counter(
            "chancery_hsm_errors_total",
            "Failures of tokens and signer processes by what they mean and Cryptoki's return value.",
            fault=failure.fault.name.lower(),
            code=meaning(failure.code).name if failure.code else "none",
            **self._labels,
        ).add()
