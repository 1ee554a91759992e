"""Object storage is reached through the proxy that the environment names."""

import asyncio

import pytest

from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.storage import ArchiveStorage
from tests.http.test_proxies import no_proxy
from tests.support.forward_proxy import proxying

__all__ = ["no_proxy"]
_HOST = "storage.invalid"
_BUCKET = f"s3://id:secret@bucket/folder?region=eu-west-1&endpoint_override={_HOST}"


@pytest.mark.parametrize(
    ("scheme", "line"), [("http", f"HEAD http://{_HOST}/bucket/folder "), ("https", f"CONNECT {_HOST}:443 ")]
)
async def test_s3(scheme: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxying({}, refusal="403 Forbidden") as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url)
        with pytest.raises(OSError, match="AWS Error"):
            await asyncio.to_thread(ArchiveStorage.at(f"{_BUCKET}&scheme={scheme}").exists)
        assert proxy.asked
        assert all(asked.startswith(line) for asked in proxy.asked), proxy.asked


async def test_google_cloud_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxying({}, refusal="403 Forbidden") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(OSError, match="CURL error"):
            await asyncio.to_thread(ArchiveStorage.at("gs://anonymous@bucket/folder?retry_limit_seconds=1").exists)
        assert proxy.asked
        assert all(asked.startswith("CONNECT storage.googleapis.com:443 ") for asked in proxy.asked), proxy.asked


async def test_storage_of_this_machine_is_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxying({}, refusal="403 Forbidden") as here:
        monkeypatch.setenv("HTTP_PROXY", here.url)
        own = _BUCKET.replace(_HOST, here.url.removeprefix("http://"))
        with pytest.raises(OSError, match="AWS Error"):
            await asyncio.to_thread(ArchiveStorage.at(f"{own}&scheme=http").exists)
        assert here.asked == ["HEAD /bucket/folder HTTP/1.1"]


def test_s3_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow would ask Amazon for it directly."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Unusable, match=r"name the bucket's region: s3://bucket/folder\?region=us-east-1"):
        ArchiveStorage.at("s3://id:secret@bucket/folder")


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(Unusable, match="HTTPS_PROXY names a proxy that is not spoken to by http"):
        ArchiveStorage.at(f"{_BUCKET}&scheme=https")
