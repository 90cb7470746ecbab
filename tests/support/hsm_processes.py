"""What the kernel says about signer processes."""

import os
import select
from pathlib import Path


def is_running(pid: int) -> bool:
    """Tell whether a process exists, be it as a zombie."""
    return Path(f"/proc/{pid}").exists()


def kernel_file(pid: int, name: str) -> bytes:
    """Return a file of /proc about a process."""
    return Path(f"/proc/{pid}/{name}").read_bytes()


def leads_own_session(pid: int) -> bool:
    """Tell whether signals to the server's terminal pass the process by."""
    return os.getsid(pid) == pid


def shared_object_that_is_no_module() -> Path:
    """Return some library that has nothing to do with PKCS#11."""
    return next(path for path in Path("/usr/lib").glob("*/libz.so.1*") if path.is_file())


def ends_within(pid: int, seconds: float) -> bool:
    """Wait for a process that is not our child to end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
