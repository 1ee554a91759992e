"""Signed requests: three headers, RSA-PSS or Ed25519 over timestamp, method and path without query."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kalshi_simulator.refusals import unauthorized

_KEY, _TIMESTAMP, _SIGNATURE = "KALSHI-ACCESS-KEY", "KALSHI-ACCESS-TIMESTAMP", "KALSHI-ACCESS-SIGNATURE"


class Doorkeeper:
    """Tells signed requests from anonymous ones. Without a public key every signature passes."""

    def __init__(self, public_key_pem: bytes | None) -> None:
        """Raises `ValueError` for a key of another kind."""
        self._key: RSAPublicKey | Ed25519PublicKey | None = None
        if public_key_pem is not None:
            key = load_pem_public_key(public_key_pem)
            if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
                raise ValueError("public_key_pem must hold an RSA or Ed25519 public key")
            self._key = key

    def is_signed(self, headers: Mapping[str, str], method: str, path: str) -> bool:
        """Whether the request is signed; a wrong signature is refused with 401."""
        if not all(headers.get(name) for name in (_KEY, _TIMESTAMP, _SIGNATURE)):
            return False
        if not headers[_TIMESTAMP].isdecimal():  # milliseconds
            raise unauthorized()
        if self._key is not None:
            message = f"{headers[_TIMESTAMP]}{method}{path}".encode()
            self._verify(self._key, headers[_SIGNATURE], message)
        return True

    def _verify(self, key: RSAPublicKey | Ed25519PublicKey, signature: str, message: bytes) -> None:
        try:
            signed = base64.b64decode(signature, validate=True)
            if isinstance(key, Ed25519PublicKey):
                key.verify(signed, message)
            else:
                scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
                key.verify(signed, message, scheme, hashes.SHA256())
        except (InvalidSignature, binascii.Error) as error:
            raise unauthorized() from error
