"""The filesystem of a URI such as s3://bucket/folder, through the proxy that the environment names.

pyarrow's S3 client does not read `HTTPS_PROXY` and the like; its client for Google Cloud Storage does.
"""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from pyarrow import fs

from kalshi_ingest.errors import Unusable
from kalshi_ingest.http.proxies import proxy_for


def opened(uri: str, shown: str) -> tuple[fs.FileSystem, str]:
    """The filesystem and the path within it. `shown`: the URI as messages may quote it.

    Raises `Unusable` for a URI that pyarrow cannot read, and for a proxy that cannot be used.
    """
    if uri.startswith("s3://"):
        _require_region(uri, shown)
    try:
        filesystem, root = fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError, ValueError):
        raise Unusable(f"{shown} is not a place for an archive: give a folder, or a URI such as s3://…") from None
    return (_through_proxy(filesystem) if isinstance(filesystem, fs.S3FileSystem) else filesystem), root


def _require_region(uri: str, shown: str) -> None:
    """Without a region pyarrow asks Amazon for it, directly and not through the proxy."""
    asked = parse_qs(urlsplit(uri).query)
    if not asked.keys() & {"region", "endpoint_override"} and proxy_for("https://s3.amazonaws.com") is not None:
        raise Unusable(f"behind a proxy, name the bucket's region: {shown}?region=us-east-1, for example")


def _through_proxy(filesystem: fs.S3FileSystem) -> fs.S3FileSystem:
    state: Any = filesystem.__reduce__()  # a URI has no parameter for the proxy
    make, (options,) = state
    host = options["endpoint_override"] or f"s3.{options['region']}.amazonaws.com"
    proxy = proxy_for(f"{options['scheme']}://{host}")
    if proxy is None:
        return filesystem
    through: fs.S3FileSystem = make(options | {"proxy_options": proxy.url})
    return through
