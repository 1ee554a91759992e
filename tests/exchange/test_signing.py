"""Signed requests, checked with the public key alone."""

import base64
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from kalshi_ingest.domain.model import Tier
from kalshi_ingest.errors import IngestError, Rejected, Unusable
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_simulator import Limits, RowsWorld, Simulator
from tests.exchange.serving import GRACE, Reply, Script, asking, serving
from tests.support import virtual_clock
from tests.support.units import unit_of

KEY_ID = "a952bcbe-ec3b-4b5b-b8f9-11dae589608c"

AnyKey = RSAPrivateKey | Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def pem(
    key: AnyKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def verify_rsa(key: RSAPublicKey, signature: bytes, message: bytes) -> None:
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    key.verify(signature, message, scheme, hashes.SHA256())


def asked(signer: Signer) -> list[Any]:
    """The requests that a server sees for one page of trades, a path with an odd name, and a retry."""
    empty = Reply(body=b'{"trades":[],"cursor":""}')
    script = Script(markets__trades=[Reply(500), empty])

    async def scenario() -> None:
        async with serving(script.answer) as url, asking(url + "/", signer=signer) as client:
            assert client.signed
            api = Api(client)
            await api.trades(unit_of("KXHIGHCHI-26JUL04-B80.5"), Tier.LIVE, "cur/sor+=", Tally())
            with pytest.raises(Rejected):
                await api.series("KX HIGH%CHI", Tally())

    virtual_clock.run(scenario(), grace=GRACE)
    return script.seen


@pytest.mark.parametrize("kind", ["rsa, PKCS#8", "rsa, PKCS#1", "ed25519"])
def test_each_request_is_signed_over_its_time_method_and_path(
    kind: str, rsa_key: RSAPrivateKey, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    verify: Callable[[bytes, bytes], None]
    if kind == "ed25519":
        key = Ed25519PrivateKey.generate()
        file.write_bytes(pem(key))
        verify = key.public_key().verify
    else:
        form = PrivateFormat.PKCS8 if kind.endswith("8") else PrivateFormat.TraditionalOpenSSL
        file.write_bytes(pem(rsa_key, form))
        verify = partial(verify_rsa, rsa_key.public_key())

    requests = asked(Signer(KEY_ID, file))
    paths = ["/markets/trades", "/markets/trades", "/series/KX%20HIGH%25CHI"]
    assert len(requests) == 3
    for request, path in zip(requests, paths, strict=True):
        assert request.headers["KALSHI-ACCESS-KEY"] == KEY_ID
        stamp = request.headers["KALSHI-ACCESS-TIMESTAMP"]
        assert re.fullmatch(r"1[0-9]{12}", stamp), "milliseconds"
        signature = base64.b64decode(request.headers["KALSHI-ACCESS-SIGNATURE"], validate=True)
        verify(signature, f"{stamp}GET/trade-api/v2{path}".encode())


def test_without_a_key_nothing_is_signed() -> None:
    script = Script(thing=[Reply()])

    async def scenario() -> bool:
        async with serving(script.answer) as url, asking(url) as client:
            await client.get("/thing", {}, lambda answer: answer)
            return client.signed

    assert virtual_clock.run(scenario(), grace=GRACE) is False
    assert not [name for name in script.seen[0].headers if name.upper().startswith("KALSHI")]


def test_the_simulated_doorkeeper_lets_it_in_and_nobody_else(rsa_key: RSAPrivateKey, tmp_path: Path) -> None:
    public = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    right, wrong = tmp_path / "right.pem", tmp_path / "wrong.pem"
    right.write_bytes(pem(rsa_key))
    wrong.write_bytes(pem(generate_private_key(65537, 2048)))

    async def scenario() -> float:
        limits = Limits(authenticated_requests_per_second=30, public_key_pem=public)
        simulator = Simulator(RowsWorld(), limits)
        async with simulator:
            async with asking(simulator.url, signer=Signer(KEY_ID, wrong)) as stranger:
                with pytest.raises(Unusable, match="refuses the API key: GET /account/limits: status 401"):
                    await Api(stranger).account_requests_per_second()
            async with asking(simulator.url, signer=Signer(KEY_ID, right)) as known:
                await Api(known).learn_costs()
                return await Api(known).account_requests_per_second()

    assert virtual_clock.run(scenario(), grace=GRACE) == 30


def unusable_files(folder: Path, rsa_key: RSAPrivateKey) -> dict[str, Path]:
    """Files that hold no key this program can use, by what is wrong with them."""
    bodies = {
        "empty": b"",
        "garbage": b"\x00\xff not a key",
        "cut": pem(rsa_key)[:400],
        "broken": pem(rsa_key).replace(b"A", b"B", 50),
        "encrypted": pem(rsa_key, encryption=BestAvailableEncryption(b"hunter2-secret")),
        "public": rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "elliptic": pem(ec.generate_private_key(ec.SECP256R1())),
    }
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    return {name: folder / name for name in bodies} | {"absent": folder / "absent", "folder": folder}


def test_a_file_without_a_usable_key_stops_the_run_and_names_the_file(rsa_key: RSAPrivateKey, tmp_path: Path) -> None:
    for path in unusable_files(tmp_path, rsa_key).values():
        with pytest.raises(Unusable) as refused:
            Signer(KEY_ID, path)
        message = str(refused.value)
        assert str(path) in message
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__ or refused.value.__context__ is None
        assert "BEGIN" not in message
        assert KEY_ID not in message


def test_no_secret_is_in_any_error(rsa_key: RSAPrivateKey, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(rsa_key))
    signer = Signer(KEY_ID, file)
    script = Script(a=[Reply(401, b'{"error":"who are you"}')], b=[Reply(500)], c=[Reply(429)], d=[Reply(200, b"<p>")])

    async def scenario() -> list[str]:
        texts: list[str] = []
        async with serving(script.answer) as url, asking(url, RetryPolicy(attempts=2), signer) as client:
            for path in ("/a", "/b", "/c", "/d", "/e"):
                with pytest.raises(IngestError) as failed:
                    await client.get(path, {"cursor": "x"}, lambda answer: answer)
                chain: BaseException | None = failed.value
                while chain is not None:
                    texts += [str(chain), repr(chain)]
                    chain = chain.__cause__ or chain.__context__
        return texts

    texts = virtual_clock.run(scenario(), grace=GRACE)
    secrets = [KEY_ID, *(line for line in pem(rsa_key).decode().splitlines() if "KEY" not in line)]
    secrets += [request.headers["KALSHI-ACCESS-SIGNATURE"] for request in script.seen]
    assert len(texts) >= 10
    assert not [secret for secret in secrets for text in [*texts, repr(signer), str(signer)] if secret in text]
