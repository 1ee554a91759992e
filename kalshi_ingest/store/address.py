"""What a database's address says, as far as it may be shown: where the database is, and whether it names a user."""

import getpass
import os
import re
from itertools import zip_longest
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from kalshi_ingest.errors import DatabaseUnusable

_UNREADABLE = "an unreadable address"
_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(?::(\d*))?")
_LAST_PORT = 65_535


def place_of(url: str) -> str:
    """Where the database is, without user and password: its hosts, of which there may be several, and its name."""
    try:
        parts = urlsplit(url)
        path = parts.path
        # A /, # or ? in a password ends the part of the address that it stands in.
        if "@" in path or parts.fragment or ("=" not in parts.query and parts.query):
            return _UNREADABLE
        return ",".join(_named(host, port) for host, port in _hosts(parts)) + path
    except ValueError:
        return _UNREADABLE


def _hosts(parts: SplitResult) -> list[tuple[str, str]]:
    """Each host with its port, either of which may be empty. Raises `ValueError` for what may be half a password."""
    _, user, named = parts.netloc.rpartition("@")
    if "@" in parts.query and not user:
        raise ValueError("a part of the user's name or password")
    if named:
        return [_host(each) for each in named.split(",")]
    asked = parse_qs(parts.query)
    hosts, ports = (",".join(asked.get(name, [])).split(",") for name in ("host", "port"))
    return list(zip_longest(hosts, ports[: len(hosts)], fillvalue=ports[-1]))


def _host(text: str) -> tuple[str, str]:
    found = _HOST.fullmatch(text)
    if found is None or int(found[2] or 0) > _LAST_PORT:
        raise ValueError("a part of the user's name or password")
    return unquote(found[1]), found[2] or ""


def _named(host: str, port: str) -> str:
    if not host or host.startswith(("/", "@")):
        return "a local socket"
    return f"{host}:{port}" if port else host


def require_user(url: str) -> None:
    """Raise `DatabaseUnusable` for an address without a user, who is the account then, where the account has no name.

    That is so in many a container.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.username or os.environ.get("PGUSER") or "user" in parse_qs(parts.query):
        return
    try:
        getpass.getuser()
    except (KeyError, OSError):
        raise DatabaseUnusable(
            f"the address {place_of(url)} names no user, and this account (number {os.getuid()}) has no name: write "
            "postgresql://USER@…"
        ) from None
