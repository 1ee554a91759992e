"""Which proxy stands between this program and a service: what `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.

aiohttp's own reading (`trust_env`) misses the WebSocket, ignores a proxy that it cannot use and sends passwords of
`~/.netrc` to services.
"""

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment

from kalshi_ingest.errors import ServiceUnusable


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """A forward proxy. Its text has neither user nor password."""

    url: str
    """With user and password, for aiohttp alone."""
    variable: str

    def __str__(self) -> str:
        return f"the proxy http://{urlsplit(self.url).netloc.rpartition('@')[2]} ({self.variable})"

    __repr__ = __str__

    @property
    def has_user(self) -> bool:
        return urlsplit(self.url).username is not None


def proxy_for(url: str) -> Proxy | None:
    """The proxy for a service at `url`, whose scheme is http or https; None for one that is reached directly.

    This machine itself is never asked for through a proxy. Raises `ServiceUnusable` for a proxy that cannot be used.
    """
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme
    known = getproxies_environment()
    if not known.get(scheme) or _is_this_machine(host) or _is_exempt(host, parts.port, known.get("no", "")):
        return None
    lower = f"{scheme}_proxy"  # which counts more than upper case, as everywhere
    variable = lower if os.environ.get(lower) else lower.upper()
    text = known[scheme] if "://" in known[scheme] else f"http://{known[scheme]}"
    proxy = _read(text)
    if proxy is None:
        raise ServiceUnusable(
            f"{variable} cannot be read: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, and :, /, @, ? and #"
            " inside a password as %3A, %2F, %40, %3F and %23"
        )
    if proxy.scheme != "http":
        raise ServiceUnusable(
            f"{variable} names a proxy that is not spoken to by http: only one at http://HOST:PORT can be used, which"
            " passes https on without reading it"
        )
    return Proxy(f"http://{proxy.netloc}", variable)


def _read(text: str) -> SplitResult | None:
    try:
        proxy = urlsplit(text)
        whole = bool(proxy.hostname) and proxy.port != 0 and proxy.path in ("", "/") and text.count("@") <= 1
    except ValueError:  # its text may quote the password
        return None
    return proxy if whole and not proxy.query and not proxy.fragment else None


def _is_exempt(host: str, port: int | None, exempt: str) -> bool:
    """Whether `NO_PROXY` names the host, with or without the port that is written out, or a domain that it is in."""
    names = {each.strip().lower().removeprefix("*").lstrip(".") or each.strip() for each in exempt.split(",")}
    own = {host, f"{host}:{port}"}
    return "*" in names or any(each and (full == each or full.endswith(f".{each}")) for each in names for full in own)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
