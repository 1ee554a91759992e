"""The database's address, as far as it may be shown: where the database is, and whether it names a user.

Inside the program the address also names the schema of the tables, as `schema=NAME` at its end.
"""

import getpass
import os
import re
from itertools import zip_longest
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.settings import PUBLIC, is_schema_name

_UNREADABLE = "an unreadable address"
_SOCKET = "a local socket"
_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(?::(\d*))?")
_LAST_PORT = 65_535

_SCHEMA = re.compile(r"[?&]schema=([^&#]*)\Z")


def with_schema(url: str, schema: str) -> str:
    """The address with the schema of the tables; the address alone means `public`."""
    return url if schema == PUBLIC else f"{url}{'&' if '?' in url else '?'}schema={schema}"


def split_schema(url: str) -> tuple[str, str]:
    """The address as PostgreSQL's clients know it, and the schema of the tables."""
    found = _SCHEMA.search(url)
    if found is None:
        return url, PUBLIC
    if not is_schema_name(found[1]):
        raise DatabaseUnusable("the database's address names a schema that cannot hold the tables: see DATABASE_SCHEMA")
    return url[: found.start()], found[1]


def place_of(url: str) -> str:
    """Where the database is, without user and password: its hosts, of which there may be several, and its name."""
    try:
        parts = urlsplit(one_place(url))
        path = parts.path
        # A /, # or ? in a password ends the part of the address that it stands in.
        if "@" in path or parts.fragment or ("=" not in parts.query and parts.query):
            return _UNREADABLE
        return ",".join(_named(host, port) for host, port in _hosts(parts)) + path
    except ValueError:
        return _UNREADABLE


def with_search_path(url: str) -> str:
    """The address for another program, with the tables' schema in its search path."""
    plain, schema = split_schema(url)
    if schema == PUBLIC:
        return plain
    option = f"-csearch_path%3D{schema}"
    if asked := re.search(r"[?&]options=[^&#]*", plain):
        return f"{plain[: asked.end()]}%20{option}{plain[asked.end() :]}"
    return f"{plain}{'&' if '?' in plain else '?'}options={option}"


def one_place(url: str) -> str:
    """The address with its hosts in one place: libpq prefers those in its query, and uses the port before as theirs."""
    parts = urlsplit(url)
    user, at, named = parts.netloc.rpartition("@")
    asked = parse_qs(parts.query)
    if not named or not asked.get("host"):
        return url
    _, colon, port = named.rpartition("]")[2].rpartition(":")
    rest = f"&port={port}" if colon and port and "port" not in asked else ""
    return f"{parts.scheme}://{user}{at}{parts.path}?{parts.query}{rest}"


def on_a_network(url: str) -> bool:
    """Whether one of its hosts is more than a socket of this machine."""
    try:
        return any(_named(host, port) != _SOCKET for host, port in _hosts(urlsplit(one_place(url))))
    except ValueError:
        return True


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
        return _SOCKET
    return f"{host}:{port}" if port else host


def require_user(url: str) -> None:
    """Raise `DatabaseUnusable` for an address without a user, which stands for the account, where that has no name.

    Many containers run under such an account.
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
