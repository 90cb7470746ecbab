"""A signer process: `python -m managed_keys.providers.pkcs11.signer FD PARENT`, started by the server alone.

It owns one session with one token and does what the server asks over an inherited, unnamed socket pair, one request
after the other on one thread. It ends when that socket closes or the server dies. It writes to nothing but the socket
and, when it fails, standard error. It keeps no PIN beyond the login, and no name in any file system leads to it: a
socket pair needs neither a directory nor a check of who connects.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable

from managed_keys.providers.pkcs11.messages import (
    Failure,
    Find,
    Forget,
    Frames,
    Generate,
    Introduce,
    Kind,
    Login,
    Unwrap,
    Wrap,
    answer,
    failed_answer,
    read_sign_request,
)
from managed_keys.providers.pkcs11.token import TokenSession

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_READ_SIZE = 1 << 18
_COMPANY = 8
_HOLD = 0.005
"""While there is more to do, answers wait for this many to be ready, or so many seconds, and are written together."""


def harden(parent: int) -> None:
    """Die with the server, leave no core, let no other process of this user look inside."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_DUMPABLE, 0)):
        if prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
    if os.getppid() != parent:  # it died before it could be watched
        sys.exit(1)


class Dispatcher:
    """Turns requests into answers."""

    def __init__(self, session: TokenSession) -> None:
        self._session = session
        self._control: dict[int, Callable[[bytes], bytes]] = {
            Kind.LOGIN: lambda body: session.login(Login.decode(body)).encode(),
            Kind.FIND: lambda body: session.find(Find.decode(body)).encode(),
            Kind.GENERATE: lambda body: session.generate(Generate.decode(body)).encode(),
            Kind.WRAP: lambda body: session.wrap(Wrap.decode(body)).encode(),
            Kind.UNWRAP: lambda body: session.unwrap(Unwrap.decode(body)),
        }

    def dispatch(self, kind: int, body: bytes) -> bytes:
        """Carry a request out. Return the frame of the answer, empty when it has none."""
        try:
            if kind == Kind.SIGN:
                return answer(self._session.sign(*read_sign_request(body)))
            if kind == Kind.INTRODUCE:
                self._session.introduce(Introduce.decode(body))
                return b""
            if kind == Kind.FORGET:
                self._session.forget(Forget.decode(body).number)
                return b""
            return answer(self._control[kind](body))
        except Failure as failure:
            return failed_answer(failure)


def serve(channel: socket.socket, dispatcher: Dispatcher) -> None:
    """Answer requests until the other side closes. Answers that are ready together are written together."""
    frames = Frames()
    while data := channel.recv(_READ_SIZE):
        ready: list[bytes] = []
        written = time.monotonic()
        for kind, body in frames.feed(data):
            ready.append(dispatcher.dispatch(kind, body))
            if len(ready) >= _COMPANY or time.monotonic() - written > _HOLD:
                channel.sendall(b"".join(ready))
                ready.clear()
                written = time.monotonic()
        if ready:
            channel.sendall(b"".join(ready))


def main() -> None:
    """Serve the inherited socket named on the command line."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    harden(parent)
    session = TokenSession()
    # A broken pipe means that the server is gone, or tired of us.
    with socket.socket(fileno=descriptor) as channel, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(channel, Dispatcher(session))
    session.close()
    os._exit(0)  # exit handlers of vendors' libraries are known to hang and to crash


if __name__ == "__main__":
    main()
