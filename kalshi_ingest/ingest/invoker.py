"""Who asks: written into the ingestion log with every run."""

import getpass
import os
import socket
from importlib import metadata


def asked_by() -> str:
    """user@host and the program's version, e.g. `quant@research-3, kalshi_ingest 0.1.0`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, kalshi_ingest {metadata.version('kalshi-ingest')}"
