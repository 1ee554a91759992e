"""An address as libpq (psql) understands it, for asyncpg, which sends what it does not know to the server.

What changes nothing here is left out. What asks for something that asyncpg cannot do is refused by name, above all what
somebody wrote for safety: to go without it is for the user to say.
"""

import os
import ssl
from urllib.parse import unquote_plus

import asyncpg

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.store.address import place_of

_NEEDLESS = frozenset(
    [
        "application_name",
        "fallback_application_name",
        "client_encoding",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "sslcompression",
        "gssdelegation",
        "min_protocol_version",
        "max_protocol_version",
    ]
)
"""This program names its sessions and watches its connections itself."""

_HARMLESS = {
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "sslsni": ("1",),
    "sslcertmode": ("allow",),
    "load_balance_hosts": ("disable",),
    "hostaddr": (),
    "requirepeer": (),
    "require_auth": (),
    "replication": ("false", "off", "no", "0"),
    "sslcrldir": (),
    "sslkeylogfile": (),
}
"""Parameters that asyncpg cannot follow, and the values with which they ask for nothing that it does not do anyway."""


async def connect(url: str, seconds: float) -> asyncpg.Connection:
    """A session at an address, within so many seconds or `connect_timeout` of the address. Fails as asyncpg does.

    Raises `DatabaseUnusable` for what asks for something that cannot be done here.
    """
    head, mark, query = url.partition("?")
    kept: list[str] = []
    asked: dict[str, str] = {}
    for pair in query.split("&") if mark else []:
        name, _, value = pair.partition("=")
        value = unquote_plus(value)
        if name in _HARMLESS:
            if value and value not in _HARMLESS[name]:
                raise _refused(url, name, f"kalshi-ingest cannot do what {name} asks for")
        elif name == "connect_timeout":
            seconds = _seconds(url, value) or seconds
        elif pair and name not in _NEEDLESS:
            kept.append(pair)
            asked[name] = value
    if asked.get("sslrootcert", os.environ.get("PGSSLROOTCERT")) != "system":
        return await asyncpg.connect(_joined(head, kept), timeout=seconds)
    if asked.get("sslmode", os.environ.get("PGSSLMODE", "verify-full")) != "verify-full":
        raise _refused(url, "sslrootcert=system", "it needs sslmode=verify-full")
    own = {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword"}
    kept = [pair for pair in kept if pair.partition("=")[0] not in own]
    return await asyncpg.connect(_joined(head, kept), timeout=seconds, ssl=_system(asked))


def _system(asked: dict[str, str]) -> ssl.SSLContext:
    """TLS with the authorities that this machine knows."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    if certificate := asked.get("sslcert"):
        context.load_cert_chain(certificate, asked.get("sslkey"), lambda: asked.get("sslpassword", ""))
    return context


def _joined(head: str, pairs: list[str]) -> str:
    return head + (f"?{'&'.join(pairs)}" if pairs else "")


def _seconds(url: str, text: str) -> int:
    """0: no limit of the address's own."""
    try:
        return max(0, int(text or "0"))
    except ValueError:
        raise _refused(url, "connect_timeout", "its value is not a number of seconds") from None


def _refused(url: str, word: str, why: str) -> DatabaseUnusable:
    return DatabaseUnusable(f"cannot use the database at {place_of(url)}: drop {word} from the address: {why}")
