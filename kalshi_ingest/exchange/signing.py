"""Signed requests: an RSA or Ed25519 key turns the anonymous budget into the account's own."""

import base64
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kalshi_ingest.errors import Unusable

Sign = Callable[[str], dict[str, str]]
"""The headers of a signed GET of a path, which starts at the root and has no query string."""


class Signer:
    """Signs requests as the exchange's documentation says: RSA-PSS with SHA-256 over time, method and path."""

    def __init__(self, key_id: str, key_path: Path) -> None:
        """Read the private key (PEM, no password) at `key_path`; `Unusable` when that cannot be done."""
        self._key_id = key_id
        try:
            key = load_pem_private_key(key_path.read_bytes(), password=None)
        except OSError as error:
            raise Unusable(f"cannot read the private key {key_path}: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Unusable(f"{key_path} holds no private key in PEM form without a password") from None
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise Unusable(f"the private key {key_path} is neither RSA nor Ed25519")
        self._key = key

    def at(self, clock: Callable[[], datetime]) -> Sign:
        """Signs with the exchange's time, given by `clock`: a signature of another time is refused."""
        return lambda path: self.headers("GET", path, int(clock().timestamp() * 1000))

    def headers(self, method: str, path: str, unix_milliseconds: int) -> dict[str, str]:
        """The three headers of a signed request; `path` starts at the root and has no query string."""
        message = f"{unix_milliseconds}{method}{path}".encode()
        if isinstance(self._key, RSAPrivateKey):
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            signature = self._key.sign(message, scheme, hashes.SHA256())
        else:
            signature = self._key.sign(message)
        return {
            "KALSHI-ACCESS-KEY": self._key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(unix_milliseconds),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }
