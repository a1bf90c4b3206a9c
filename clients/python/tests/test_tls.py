"""https, straight and through a proxy, against a real TLS server with its own authority."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clients.python.tests.recorder import Recorder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tabard_client import Client

Make = Callable[..., Client]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(recorder: Recorder, certificate: Path) -> str:
    """The recorder behind TLS; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    recorder.stop()
    recorder.tls = context
    recorder.start()
    return f"https://localhost:{recorder.port}"


class TunnelProxy:
    """Joins a CONNECT to its target; `targets` are the places asked for."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            near, _ = self._listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            target = head.split()[1].decode()
            self.targets.append(target)
            host, port = target.split(":")
            far = socket.create_connection((host, int(port)))
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
            self._pump(near, far)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            end.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[TunnelProxy]:
    tunnel = TunnelProxy()
    yield tunnel
    tunnel.close()


def test_https_with_a_known_authority_delivers(
    make_client: Make, recorder: Recorder, secure: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = make_client(host=secure)
    client.track("u1", "a")
    assert client.flush(5) == 0
    assert len(recorder.messages) == 1


def test_an_unknown_authority_gets_nothing_and_the_message_is_kept(
    make_client: Make, recorder: Recorder, secure: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(host=secure)
    client.track("u1", "a")
    recorder.wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
    assert recorder.calls == []
    assert client.counts().waiting == 1


def test_https_goes_through_a_proxy_as_a_tunnel(
    make_client: Make,
    recorder: Recorder,
    secure: str,
    certificate: Path,
    proxy: TunnelProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = make_client(host=secure, proxies={"https": proxy.url})
    client.track("u1", "a")
    assert client.flush(5) == 0
    assert proxy.targets == [f"localhost:{recorder.port}"]
    assert len(recorder.messages) == 1
