"""A private PostgreSQL server for tests: made in a temporary directory, on a free port of the loopback interface.

Databases in it are cheap: `fresh_database` makes one for each test from the empty template.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

from tests.support.server_child import free_port

SUPERUSER = "postgres"
PASSWORD = "only-for-tests"
_NUMBERS = count()
_WAIT = 30.0


class PostgresServer:
    """One server. Its data survive `stop`, `kill` and `start`."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        """Make a cluster in a directory that is empty and ours."""
        self.directory = directory
        self.port = free_port()
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(directory),
            "max_connections": "200",
            "logging_collector": "off",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(directory, SUPERUSER)
        password = directory / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(password, SUPERUSER)
        self._run("initdb", "-D", str(self.data), "-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password}",
                  "--no-sync", "--locale=C.UTF-8", "-E", "UTF8")  # fmt: skip

    @property
    def data(self) -> Path:
        """Return the cluster's directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """Return the file with what the server says."""
        return self.directory / "server.log"

    def url(self, database: str = "postgres", *, password: str = PASSWORD, parameters: str = "") -> str:
        """Return the URL of a database."""
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{database}{parameters}"

    def start(self) -> None:
        """Start it and return once it accepts connections."""
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_postgres(), str(_binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watch = _watch(self._process.pid, self.directory)
        deadline = time.monotonic() + _WAIT
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, with everything acknowledged on the disk; sessions are told."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End every process of it with SIGKILL, as a crash of its machine does; it recovers at the next start."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it go silent: connections stay open, and nothing answers."""
        _signal(_family(self._running().pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        _signal(_family(self._running().pid), signal.SIGCONT)

    def install_certificate(self, certificate: bytes, key: bytes) -> None:
        """Have it offer TLS with a certificate, from the next start on, which this is."""
        for name, content in (("server.crt", certificate), ("server.key", key)):
            file = self.data / name
            file.touch(mode=0o600)
            file.write_bytes(content)
            if os.geteuid() == 0:
                shutil.chown(file, SUPERUSER)
        self.settings["ssl"] = "on"
        self.restart()

    def fresh_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser; return what psql prints."""
        return self._run(
            "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)
        ).stdout  # fmt: skip

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        watch, self._watch = self._watch, None
        if process is None:
            return
        if watch is not None:
            watch.kill()
            watch.communicate()
        _signal(_family(process.pid) if number is signal.SIGKILL else [process.pid], number)
        process.wait(_WAIT)

    def _is_ready(self) -> bool:
        ready = [str(_binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*_as_postgres(), str(_binaries() / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr[-2000:]}")
        return done


@contextmanager
def postgres_server(settings: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """Run a server of one's own for a while."""
    # Not below pytest's directory: that one is closed to the user that PostgreSQL runs as.
    directory = Path(tempfile.mkdtemp(prefix="chancery-pg-"))
    try:
        server = PostgresServer(directory, settings)
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@cache
def shared_server() -> PostgresServer:
    """Return the server that the tests of this process share, started when the first one asks."""
    running = postgres_server({"fsync": "off"})
    atexit.register(running.__exit__, None, None, None)
    return running.__enter__()


@cache
def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    if elsewhere is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    return Path(elsewhere).parent


def _as_postgres() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", f"--reuid={SUPERUSER}", f"--regid={SUPERUSER}", "--clear-groups"] if os.geteuid() == 0 else []


def _watch(pid: int, directory: Path) -> "subprocess.Popen[bytes]":
    """End the server and remove its directory when this process ends, in whatever way: then the pipe closes."""
    script = 'cat >/dev/null; kill -QUIT "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done; rm -rf "$2"'
    return subprocess.Popen(
        ["sh", "-c", script, "watch", str(pid), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _family(pid: int) -> list[int]:
    """Return the server's main process and the children that it has now; each of them leads a group of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError):
        return [pid, *map(int, children.read_text().split())]
    return [pid]


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
