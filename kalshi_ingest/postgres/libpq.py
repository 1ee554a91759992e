"""An address as libpq (psql) understands it, for asyncpg, which sends unknown parameters to the server.

What changes nothing here is left out. What asyncpg cannot do is refused by name, above all what the user wrote for
safety: only the user may drop it.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import asyncpg

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.postgres.address import one_place, place_of

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
"""Parameters that asyncpg cannot follow, and their values that ask for nothing more than it does anyway."""


_FILES = ("sslrootcert", "sslcrl", "sslkey", "sslcert")
_NO_PEM = "it is not in PEM form, or its key or password does not fit"


async def connect(url: str, seconds: float) -> asyncpg.Connection:
    """A session at an address, within so many seconds or `connect_timeout` of the address. Fails as asyncpg does.

    Raises `DatabaseUnusable` for what asks for something that cannot be done here, and `ValueError` for an address that
    cannot be read.
    """
    head, _, query = one_place(url).partition("?")
    if head.count("@") > 1:  # asyncpg would take the rest of a user's name for the name of a host
        raise ValueError("more than one @")
    kept, seconds = _kept(url, query, seconds)
    asked = {name: unquote(value) for name, _, value in (pair.partition("=") for pair in kept)}
    own, kept = _own_tls(url, asked, kept)
    try:
        return await asyncpg.connect(head + (f"?{'&'.join(kept)}" if kept else ""), timeout=seconds, ssl=own)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no answer within {seconds:.0f} s") from None
    except ConnectionError as error:
        if "rejected SSL upgrade" not in str(error):
            raise
        mode = asked.get("sslmode", os.environ.get("PGSSLMODE", ""))
        raise _refused(url, f"sslmode={mode}", "this server, or the pooler before it, does not offer TLS") from None
    except OSError as error:
        if isinstance(error, ssl.SSLCertVerificationError) or (fault := _fault_of_files(asked)) is None:
            raise
        raise DatabaseUnusable(f"cannot use the database at {place_of(url)}: {fault}") from None


def _kept(url: str, query: str, seconds: float) -> tuple[list[str], float]:
    """The parameters for asyncpg, and how long to try."""
    kept: list[str] = []
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        name, value = unquote(name), unquote(value)
        if name in _HARMLESS:
            if value and value not in _HARMLESS[name]:
                raise _refused(url, name, f"kalshi-ingest cannot do what {name} asks for")
        elif name == "connect_timeout":
            seconds = _seconds(url, value) or seconds
        elif name == "ssl" and value == "true":  # as JDBC writes it, which libpq reads too
            kept.append("sslmode=require")
        elif name not in _NEEDLESS:
            kept.append(pair.replace("+", "%2B"))  # to asyncpg a plus sign is a blank, to libpq it is none
    return kept, seconds


def _own_tls(url: str, asked: Mapping[str, str], kept: list[str]) -> tuple[ssl.SSLContext | None, list[str]]:
    """TLS with the authorities that this machine knows, if it is asked for, and the parameters that are left."""
    if asked.get("sslrootcert", os.environ.get("PGSSLROOTCERT")) != "system":
        return None, kept
    if asked.get("sslmode", os.environ.get("PGSSLMODE", "verify-full")) != "verify-full":
        raise _refused(url, "sslrootcert=system", "it needs sslmode=verify-full")
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    if certificate := asked.get("sslcert"):
        try:
            context.load_cert_chain(certificate, asked.get("sslkey"), lambda: asked.get("sslpassword", ""))
        except OSError:
            raise DatabaseUnusable(f"cannot use the database at {place_of(url)}: {_fault_of_files(asked)}") from None
    own = ("sslmode", "sslpassword", *_FILES)
    return context, [pair for pair in kept if pair.partition("=")[0] not in own]


def _fault_of_files(asked: Mapping[str, str]) -> str | None:
    """Which parameter names a file that TLS cannot use, and why not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    files = {name: asked.get(name) or os.environ.get(f"PG{name.upper()}") for name in _FILES}
    for name, file in files.items():
        if not file or file == "system":
            continue
        try:
            Path(file).open("rb").close()
            if name in ("sslrootcert", "sslcrl"):
                context.load_verify_locations(file)
            elif name == "sslcert":
                context.load_cert_chain(file, files["sslkey"], lambda: asked.get("sslpassword", ""))
        except OSError as error:
            reason = _NO_PEM if isinstance(error, ssl.SSLError) else error.strerror
            return f"{name} names a file that cannot be used, {file}: {reason}"
    return None


def _seconds(url: str, text: str) -> int:
    """0: no limit of the address's own."""
    try:
        return max(0, int(text or "0"))
    except ValueError:
        raise _refused(url, "connect_timeout", "its value is not a number of seconds") from None


def _refused(url: str, word: str, why: str) -> DatabaseUnusable:
    return DatabaseUnusable(f"cannot use the database at {place_of(url)}: drop {word} from the address: {why}")
