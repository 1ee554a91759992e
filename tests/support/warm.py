"""Runs `kalshi-ingest` in processes that a warm one forks: see `tests.support.warm_server`."""

import asyncio
import atexit
import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

LENGTH = struct.Struct(">I")
"""How long an order is, before it: a stream may deliver it in parts."""
_REPOSITORY = Path(__file__).resolve().parents[2]


async def run(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, bytes, bytes]:
    """One run in `folder` to its end: exit code (minus the signal that killed it), standard output, standard error."""
    begun = _Run(words, environment, folder)
    try:
        return await asyncio.to_thread(begun.collect)
    except asyncio.CancelledError:
        begun.kill()
        raise


class _Run:
    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        os.umask(umask := os.umask(0))
        order = {"words": list(words), "environment": dict(environment), "folder": str(folder), "umask": umask}
        self._told, theirs = socket.socketpair()
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        text = json.dumps(order).encode()
        socket.send_fds(_orders(), [LENGTH.pack(len(text))], [nothing, out, err, theirs.fileno()])
        _orders().sendall(text)
        for descriptor in (nothing, out, err, theirs.detach()):
            os.close(descriptor)
        self._pid = 0
        self._known = threading.Event()
        """Its number is, or never will be."""

    def collect(self) -> tuple[int, bytes, bytes]:
        """Read everything that it says, until it has ended."""
        try:
            return self._collected()
        finally:
            self._known.set()

    def _collected(self) -> tuple[int, bytes, bytes]:
        said = {self._out: b"", self._err: b"", self._told.fileno(): b""}
        with self._told, selectors.DefaultSelector() as selector:
            for source in said:
                selector.register(source, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    if part := os.read(key.fd, 65_536):
                        said[key.fd] += part
                    else:
                        selector.unregister(key.fd)
                    if not self._pid and b"\n" in said[self._told.fileno()]:
                        self._pid = int(said[self._told.fileno()].split(b"\n")[0])
                        self._known.set()
            status = int(said[self._told.fileno()].split()[1])
        for descriptor in (self._out, self._err):
            os.close(descriptor)
        return os.waitstatus_to_exitcode(status), said[self._out], said[self._err]

    def kill(self) -> None:
        """Kill it with everything that it started; `collect` is under way."""
        self._known.wait()
        with contextlib.suppress(ProcessLookupError):
            if self._pid:
                os.killpg(self._pid, signal.SIGKILL)


@functools.cache
def _orders() -> socket.socket:
    """The socket that takes orders, and behind it the warm process, which ends with this one."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.warm_server", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        cwd=_REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
    )
    theirs.close()

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours
