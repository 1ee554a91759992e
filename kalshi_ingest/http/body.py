"""The body of an answer, never held beyond a bound."""

import re

import aiohttp

from kalshi_ingest.errors import BadPayload


async def bounded(response: aiohttp.ClientResponse, most_bytes: int, what: str) -> bytes:
    """The whole body of the request named `what`, decompressed; reading stops with `BadPayload` beyond `most_bytes`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            response.close()
            raise BadPayload(f"{what}: the answer is larger than {most_bytes // 2**20} MB")
    return b"".join(chunks)


def text_of(body: bytes, most: int) -> str:
    """The first `most` characters of the text in a body, in one line and without the tags of HTML."""
    text = re.sub(r"<[^>]*>|\s+", " ", body[:2000].decode(errors="replace"))
    return " ".join(text.split())[:most]
