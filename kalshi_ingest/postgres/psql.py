"""psql on the database, as a process of its own."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import SplitResult, unquote, urlsplit

from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.address import on_a_network
from kalshi_ingest.postgres.embedded import server

_SECRET = re.compile("password|passwd|secret|token|scram")
"""In the name of a parameter: every user of the machine can read command lines, so its value does not go there."""
_KNOWN = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
"""Parameters with a secret that libpq knows, whose names it compares as they are written."""
_UNREADABLE = (
    "the database's address cannot be read: write :, /, @, [, ? and # inside a name or password as %3A, %2F, %40, %5B, "
    "%3F and %23"
)
_UNKNOWN = f"psql does not know one of the secrets in the database's address: it knows {', '.join(_KNOWN)}"
_SERVICE = "kalshi-ingest"
_WANTS_TLS = re.compile("[?&](sslmode=(require|verify-ca|verify-full)|ssl=true|sslrootcert=system)(&|$)")


def psql(url: str, words: Sequence[str]) -> int:
    """Run psql with `words` and return its exit code.

    Ctrl-C is psql's own: it ends a query there, and must not end the embedded server under it. SIGTERM ends it, as a
    KeyboardInterrupt. No secret of the address shows in its command line.
    """
    shown, secrets = without_secrets(url)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        command = [_program(url), shown, *words]
        with (
            _environment(secrets) as environment,
            subprocess.Popen(command, env=environment) as running,  # noqa: S603 - psql takes what the user wrote
        ):
            try:
                return running.wait()
            except KeyboardInterrupt:  # SIGTERM, which as process 1 of a container reaches this process alone
                running.terminate()
                raise
    finally:
        signal.signal(signal.SIGINT, before)


def _program(url: str) -> str:
    """This machine's psql for a database on a network: the one that comes with the program speaks no TLS."""
    if not on_a_network(url):
        return str(server.psql_path())
    found = shutil.which("psql")
    if found is None and _WANTS_TLS.search(url):
        raise Unusable(
            "the database's address asks for TLS, which the psql that comes with kalshi-ingest does not speak: install "
            "PostgreSQL's own client (on Debian the package postgresql-client)"
        )
    return found or str(server.psql_path())


def without_secrets(url: str) -> tuple[str, dict[str, str]]:
    """The address without its secrets, and these by the names that libpq gives them.

    Raises `Unusable` for a secret that libpq does not know, and for an address with a character in it that should be
    percent-encoded: a part of a password might be taken for another part of the address.
    """
    parts = _parts(url)
    secrets: dict[str, str] = {}
    kept: list[str] = []
    for pair in parts.query.split("&") if parts.query else []:
        name, _, value = pair.partition("=")
        name = unquote(name)
        if _SECRET.search(name.lower()):
            if name not in _KNOWN:
                raise Unusable(_UNKNOWN)  # not the name itself, which may be half a password
            secrets[name] = unquote(value)
        else:
            kept.append(pair)
    if parts.password:  # it counts more than one in the query, as everywhere in this program
        secrets["password"] = unquote(parts.password)
    user, at, hosts = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{user.partition(':')[0]}{at}{hosts}{parts.path}"
    return shown + (f"?{'&'.join(kept)}" if kept else ""), secrets


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote the password
        raise Unusable(_UNREADABLE) from None
    hosts = parts.netloc.rpartition("@")[2]
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts.split(",")]
    named = all("=" in pair for pair in parts.query.split("&")) if parts.query else True
    if not named or parts.fragment or "@" in parts.path or not all(port.isdigit() for port in ports if port):
        raise Unusable(_UNREADABLE)
    return parts


@contextmanager
def _environment(secrets: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """What psql is started with: the password as libpq's variable, secrets that have none in a file of ours."""
    environment = dict(os.environ)
    if any("\0" in value or "\n" in value for value in secrets.values()):
        raise Unusable("psql cannot take a password with a line break or a zero byte in it")
    if "password" in secrets:
        environment["PGPASSWORD"] = secrets["password"]
    others = {name: value for name, value in secrets.items() if name != "password"}
    if not others:
        yield environment
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="kalshi-ingest-") as file:
        file.write(f"[{_SERVICE}]\n" + "".join(f"{name}={value}\n" for name, value in others.items()))
        file.flush()
        yield environment | {"PGSERVICEFILE": file.name, "PGSERVICE": _SERVICE}
