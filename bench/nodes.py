"""Two nodes on one PostgreSQL against one: how much more the second brings, on whatever this machine has for them.

Both nodes, the database and the load share the cores: with fewer cores than busy processes the ratio says how well
they share, not how well they scale. The CA key is a software key, the same on both nodes; certificates are stored.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.contenders import ROLE, ROLE_PARAMETERS
from bench.load import Load, run
from bench.measure import Effort
from bench.scenarios import Scenario
from tests.support.server_client import ApiClient
from tests.support.server_process import ConfiguredServer
from tests.support.storage_postgres import postgres_server

_WARM_UP = 2


def compare(scenario: Scenario, directory: Path, effort: Effort, say: Callable[[str], None]) -> None:
    """Print one line for each number in flight: requests a second of one node, of two, and their ratio."""
    with _nodes(directory) as nodes:
        for connections in scenario.concurrency:
            rates: dict[int, list[float]] = {1: [], 2: []}
            _rate(scenario, nodes, connections, _WARM_UP)
            for _ in range(effort.rounds):
                for number, measured in rates.items():
                    measured.append(_rate(scenario, nodes[:number], connections, effort.seconds))
            one, two = median(rates[1]), median(rates[2])
            say(f"BENCH {scenario.name}_nodes_c{connections} two={two:.0f} one={one:.0f} ratio={two / one:.2f}")


def _rate(scenario: Scenario, nodes: Sequence[ConfiguredServer], connections: int, seconds: int) -> float:
    """Share the connections among the nodes, at least one each; return what they answer together in a second."""
    loads = [Load(f"{node.address}/v1/{scenario.path}", node.token, scenario.body) for node in nodes]
    each = max(1, connections // len(nodes))
    with ThreadPoolExecutor(len(nodes)) as pool:
        return sum(result.rate for result in pool.map(lambda load: run(load, connections=each, seconds=seconds), loads))


@contextmanager
def _nodes(directory: Path) -> Iterator[list[ConfiguredServer]]:
    with postgres_server() as database, ExitStack() as stack:
        storage = {"url": database.url(database.fresh_database())}
        nodes = [ConfiguredServer(directory / name, settings={"storage": storage}) for name in ("first", "second")]
        stack.enter_context(nodes[0])
        nodes[1].join(nodes[0])
        with nodes[0].client() as client:
            _prepare(client)
        stack.enter_context(nodes[1])
        yield nodes


def _prepare(client: ApiClient) -> None:
    client.write("sys/mounts/pki", type="pki", config={"max_lease_ttl": "87600h"})
    client.write("pki/root/generate/internal", key_type="ec", key_bits=256, common_name="Bench Root", ttl="8760h")
    client.write(f"pki/roles/{ROLE}", **ROLE_PARAMETERS)
