"""A process that has the program imported and forks one run of `kalshi-ingest` per order: a run starts in no time.

Each run is a process of its own in every respect, with the given streams, environment, folder and umask; only the
interpreter's start and the imports are shared. Orders, each with its length before it, come on the socket
whose number is argv[1], with four descriptors: standard input, output, error, and a socket that is told the run's
number and then its wait status.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import time
from typing import Any

import kalshi_ingest
from kalshi_ingest import cli
from tests.support.warm import LENGTH

_STREAMS = 3


def _serve(orders: socket.socket) -> None:
    for found in pkgutil.walk_packages(kalshi_ingest.__path__, "kalshi_ingest."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        length, descriptors, _, _ = socket.recv_fds(orders, LENGTH.size, _STREAMS + 1)
        if not length:
            return
        text = b""
        while missing := LENGTH.unpack(length)[0] - len(text):
            part = orders.recv(missing)
            if not part:  # whoever gave the order has ended
                return
            text += part
        if os.fork() == 0:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(json.loads(text), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(order: dict[str, Any], descriptors: list[int]) -> None:
    """Fork the run and report its end; in the run itself this ends with its exit."""
    *streams, told = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _become(order, streams)
        sys.exit(cli.main(order["words"]))
    for stream in streams:
        os.close(stream)
    os.write(told, b"%d\n" % pid)
    os.write(told, b"%d\n" % os.waitpid(pid, 0)[1])
    os._exit(0)


def _become(order: dict[str, Any], streams: list[int]) -> None:
    """What a fresh process would find."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["folder"])
    os.umask(order["umask"])
    sys.argv = ["kalshi-ingest", *order["words"]]
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", errors="backslashreplace")  # noqa: SIM115


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
