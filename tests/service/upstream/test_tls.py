from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.upstream.client import Client
from service.upstream.errors import UpstreamError
from service.upstream.origin import Origin
from tests.service.upstream.wire import RawServer, answering, raw_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A CA file and the context of a server whose certificate is for 127.0.0.1 only."""
    home = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (home / "ca.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (home / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "ca.pem", home / "key.pem")
    return home / "ca.pem", context


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_a_trusted_certificate_works_and_the_connection_is_kept(
    certificate: tuple[Path, ssl.SSLContext],
) -> None:
    ca, context = certificate
    async with raw_server(answering(OK), context) as server:
        client = Client(Origin(True, "127.0.0.1", server.port, ""), ca_file=str(ca), allow_private=True)
        head = client.head("GET", "/", {})
        for _ in range(2):
            assert (await client.request(head, b"", soon())).body == b"ok"
        assert server.connections == 1
        await client.close()


async def test_an_unknown_issuer_is_refused(certificate: tuple[Path, ssl.SSLContext]) -> None:
    async with raw_server(answering(OK), certificate[1]) as server:
        client = Client(Origin(True, "127.0.0.1", server.port, ""), allow_private=True)
        with pytest.raises(UpstreamError, match="TLS") as caught:
            await client.request(client.head("GET", "/", {}), b"", soon())
        assert caught.value.kind == "connect" and server.requests == []


async def test_a_certificate_for_another_name_is_refused(certificate: tuple[Path, ssl.SSLContext]) -> None:
    ca, context = certificate
    async with raw_server(answering(OK), context) as server:
        client = Client(Origin(True, "localhost", server.port, ""), ca_file=str(ca), allow_private=True)
        with pytest.raises(UpstreamError, match="TLS"):
            await client.request(client.head("GET", "/", {}), b"", soon())
        assert server.requests == []


async def test_connecting_has_a_limit_of_its_own() -> None:
    async def shakes_no_hand(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()

    async with raw_server(shakes_no_hand) as server, asyncio.timeout(4):
        origin = Origin(True, "127.0.0.1", server.port, "")
        client = Client(origin, allow_private=True, connect_seconds=0.05)
        with pytest.raises(UpstreamError, match="no connection in time") as caught:
            await client.request(client.head("GET", "/", {}), b"", soon())
        assert caught.value.kind == "connect"
        await client.close()


async def test_a_server_without_tls_is_refused() -> None:
    async with raw_server(answering(b"HTTP/1.1 400 Bad\r\n\r\n", close=True)) as server:
        client = Client(Origin(True, "127.0.0.1", server.port, ""), allow_private=True)
        with pytest.raises(UpstreamError):
            await asyncio.wait_for(client.request(client.head("GET", "/", {}), b"", soon()), 5)


async def test_a_name_that_leads_inside_gets_no_request() -> None:
    async with raw_server(answering(OK)) as server:
        client = Client(Origin(False, "localhost", server.port, ""), allow_private=False)
        with pytest.raises(UpstreamError, match="private"):
            await client.request(client.head("GET", "/", {"x-key": "secret"}), b"", soon())
        assert server.requests == []


def tunnel(answer: bytes, target: int):  # type: ignore[no-untyped-def]
    """A CONNECT proxy that answers `answer` and then carries bytes to `target`."""

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer)
        if b" 200 " not in answer:
            return
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", target)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(carry(reader, upstream_writer), carry(upstream_reader, writer))

    return talk


async def test_through_a_proxy_to_a_verified_upstream(certificate: tuple[Path, ssl.SSLContext]) -> None:
    ca, context = certificate
    async with (
        raw_server(answering(OK), context) as server,
        raw_server(tunnel(b"HTTP/1.1 200 Connection established\r\n\r\n", server.port)) as proxy,
    ):
        client = Client(
            Origin(True, "127.0.0.1", server.port, ""),
            ca_file=str(ca),
            proxy=Origin(False, "127.0.0.1", proxy.port, ""),
            allow_private=True,
        )
        assert (await client.request(client.head("GET", "/", {}), b"", soon())).body == b"ok"
        assert proxy.requests[0][0] == f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"
        await client.close()


async def refuses(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """With a page for people, and on a connection that stays open."""
    await server.request(reader)
    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 6\r\n\r\nlog in")
    await reader.read()


async def test_a_proxy_that_refuses_is_named(certificate: tuple[Path, ssl.SSLContext]) -> None:
    async with raw_server(refuses) as proxy:
        client = Client(
            Origin(True, "api.example.com", 443, ""),
            connect_seconds=1.0,
            proxy=Origin(False, "127.0.0.1", proxy.port, ""),
            allow_private=True,
        )
        with pytest.raises(UpstreamError, match="407"):
            await client.request(client.head("GET", "/", {}), b"", soon())
