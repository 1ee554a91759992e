"""What keeps every request from its service, as opposed to a fault of one, and what its user can change about it.

Asking again helps against none of these, so each is an error of its own: `OutOfReach` for what may end without anybody
changing a setting, else `ServiceUnusable`.
"""

import socket
import ssl
from urllib.parse import urljoin, urlsplit

import aiohttp

from kalshi_ingest.errors import Disconnected, IngestError, OutOfReach, ServiceUnusable
from kalshi_ingest.http.address import Address

MOVED = frozenset({301, 302, 303, 307, 308})
"""Answers that point elsewhere. They are never followed: who may have a key is for the user to say."""

PROXY_WANTS_PASSWORD = 407

_UNKNOWN_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_CLOCK = {9: "not valid yet", 10: "expired"}
"""Of OpenSSL's reasons to refuse a certificate, those that a wrong clock gives too."""
_OTHER_HOST = {62, 64}


class Unreached(Disconnected):
    """No answer, and what keeps every request from the service, if the failure shows such a thing."""

    def __init__(self, message: str, obstacle: IngestError | None = None) -> None:
        super().__init__(message)
        self.obstacle = obstacle


def described(error: aiohttp.ClientError, address: Address) -> str:
    """What failed, in a few words; the proxy is named when it did."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"{address.proxy} does not connect to {address.host}: status {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"{address.proxy} does not answer: {error.os_error.strerror or error.os_error}"
    return str(error) or type(error).__name__


def in_connecting(error: aiohttp.ClientError, address: Address) -> IngestError | None:
    """What a failed connection shows; None for what another attempt may mend."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return in_proxy(error.status, address)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _of_certificate(error.certificate_error, address)
    if isinstance(error, aiohttp.ClientConnectorDNSError) and error.os_error.errno in _UNKNOWN_NAME:
        if address.proxy is not None:
            return OutOfReach(f"{address.proxy} cannot be found: check {address.proxy.variable}")
        advice = f"check {address.setting} and this machine's name resolution (DNS)"
        return OutOfReach(f"{address.name} cannot be found: no host is named {address.host}: {advice}")
    if isinstance(error, aiohttp.ClientConnectorSSLError) and "WRONG_VERSION_NUMBER" in str(error):
        return ServiceUnusable(f"{address.name} at {address.host} does not speak TLS: {_check(address)}")
    return None


def in_proxy(status: int, address: Address) -> IngestError | None:
    """What a proxy's answer to the wish for a connection shows; None for what another attempt may mend."""
    proxy = address.proxy
    if proxy is None or not 400 <= status < 500 or status in (408, 425, 429):
        return None
    if status == PROXY_WANTS_PASSWORD:
        said = "refuses its user or password: check them in" if proxy.has_user else "wants a user and password: set"
        form = "" if proxy.has_user else " to http://USER:PASSWORD@HOST:PORT"
        return ServiceUnusable(f"{proxy} {said} {proxy.variable}{form}")
    return ServiceUnusable(
        f"{proxy} refuses to connect to {address.host} (status {status}): let it allow this host, or name the host in"
        " NO_PROXY if it is reached directly"
    )


def in_moving(status: int, location: str | None, asked: str, address: Address) -> IngestError:
    """What a redirect shows; `asked` is the request's URL without its query, `location` where it points."""
    try:
        to = urlsplit(urljoin(asked, location or ""))
        target = f"{to.scheme}://{to.netloc.rpartition('@')[2]}{to.path}"[:300]  # the rest may hold a secret
    except ValueError:
        target = "an address that cannot be read"
    said = f"{address.name} redirects {asked} to {target} (status {status})"
    path = asked.removeprefix(address.url)
    if target.endswith(path) and target != asked:
        base = target.removesuffix(path)
        return ServiceUnusable(f"{said}: if it has moved there for good, set {address.setting} to {base}")
    return ServiceUnusable(f"{said}: {_check(address)}, and whether this network asks you to sign in first")


def web_page(asked: str, address: Address) -> IngestError:
    """What a web page in place of data shows."""
    return OutOfReach(
        f"{address.name} is out of reach: {asked} answers with a web page: {_check(address)}, and whether a proxy or a"
        " sign-in page of this network stands between"
    )


def _of_certificate(error: Exception, address: Address) -> IngestError:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    reason = getattr(error, "verify_message", "") or str(error)
    said = f"the certificate of {address.name} at {address.host}"
    if code in _CLOCK:
        return OutOfReach(f"{said} is {_CLOCK[code]}: check this machine's clock")
    if code in _OTHER_HOST:
        return ServiceUnusable(f"{said} is for another host ({reason}): {_check(address)}")
    return ServiceUnusable(
        f"{said} comes from an authority that this machine does not know ({reason}): if your network inspects TLS, set"
        " SSL_CERT_FILE to a file with its authority's certificate"
    )


def _check(address: Address) -> str:
    return f"check {address.setting}, which is {address.url}"
