"""Clients that know which worker serves them: request identifiers begin with what is the worker's own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.server_client import ApiClient
from tests.support.server_process import ChanceryServer

_OWN = 23
"""Characters of a request identifier that are the same for all requests of a process."""


def worker_of(client: ApiClient) -> str:
    """Return what identifies the worker that serves a client's connection. The server is unsealed."""
    return str(client.read("auth/token/lookup-self").body["request_id"])[:_OWN]


@contextmanager
def client_of_each(server: ChanceryServer, workers: int) -> Iterator[list[ApiClient]]:
    """Connect until there is a client of each worker, be one of them only starting."""
    found: dict[str, ApiClient] = {}

    def found_all() -> bool:
        client = stack.enter_context(server.client())
        if found.setdefault(worker_of(client), client) is not client:
            client.close()
        return len(found) == workers

    with ExitStack() as stack:
        server.running().wait_until(found_all, what=f"serving with {workers} workers")
        yield list(found.values())


def worker_pids(server: ChanceryServer) -> list[int]:
    """Return the process identifiers of the workers: the children of the supervisor."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(pid) for pid in children.split()]
