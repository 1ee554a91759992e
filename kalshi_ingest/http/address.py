"""Where a service is, and what stands between."""

from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, urlsplit

from kalshi_ingest.http.proxies import Proxy, proxy_for


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    """What users call it, e.g. "the exchange"."""
    url: str
    """Without a slash at its end."""
    setting: str
    """The environment variable that holds `url`."""
    proxy: Proxy | None = None
    """What stands between."""
    secret: str | None = field(default=None, repr=False)
    """A key that requests carry in their parameters; no error may show it."""

    @property
    def proxy_url(self) -> str | None:
        """The proxy's address for aiohttp."""
        return None if self.proxy is None else self.proxy.url

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or self.url

    def redacted(self, text: str) -> str:
        """The text without the secret, in whatever form an address would have it."""
        if self.secret:
            for form in {self.secret, quote(self.secret, safe=""), quote_plus(self.secret)}:
                text = text.replace(form, "***")
        return text


def address_of(name: str, url: str, *, setting: str | None = None, secret: str | None = None) -> Address:
    """The address of a service, through the proxy that the environment names; `setting` defaults to one named after it.

    Raises `ServiceUnusable` for a proxy that cannot be used.
    """
    setting = setting or f"KALSHI_INGEST_{name.upper().replace(' ', '_')}_URL"
    return Address(name, url.rstrip("/"), setting, proxy_for(url), secret)
