"""psql on the database, as a process of its own."""

import os
import signal
import subprocess
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from kalshi_ingest.errors import Unusable
from kalshi_ingest.store import embedded


def psql(url: str, words: Sequence[str]) -> int:
    """Run psql with `words` and return its exit code.

    Ctrl-C is psql's own: it ends a query there, and must not end the embedded server under it. SIGTERM ends it, as a
    KeyboardInterrupt. The password goes
    through the environment, because every user of the machine can read command lines.
    """
    environment = dict(os.environ)
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote the password
        raise Unusable("the database's address cannot be read") from None
    if parts.password is not None:
        environment["PGPASSWORD"] = unquote(parts.password)
        user, _, host = parts.netloc.rpartition("@")
        url = parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl()
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        command = [str(embedded.psql_path()), url, *words]
        with subprocess.Popen(command, env=environment) as running:  # noqa: S603 - psql takes what the user wrote
            try:
                return running.wait()
            except KeyboardInterrupt:  # SIGTERM, which as process 1 of a container reaches this process alone
                running.terminate()
                raise
    finally:
        signal.signal(signal.SIGINT, before)
