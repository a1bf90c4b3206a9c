"""The image is built from what the repository pins and holds, and its health check knows a collector with TLS."""

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "packaging" / "Dockerfile").read_text("utf-8")
PIN = re.compile(r"^([a-z0-9-]+)==(\S+) \\$", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / "requirements" / name).read_text("utf-8")))


def test_what_builds_the_wheel_is_pinned_with_hashes_to_what_is_tested() -> None:
    build, tested = pins("build.txt"), pins("dev.txt")
    assert "hatchling" in build
    assert {name: tested.get(name) for name in build} == build
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert all("--require-hashes" in line or "/wheel/" in line for line in installs), installs


def test_the_image_is_given_every_file_that_the_wheel_is_built_of() -> None:
    copied = {word for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]}
    links = [path for path in (ROOT / "src").rglob("*") if path.is_symlink()]
    for link in links:
        target = link.resolve().relative_to(ROOT)
        assert any(target.is_relative_to(each) for each in copied), f"{target} is not copied into the image"


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("is_tls", [False, True])
def test_the_health_check_reaches_a_collector_with_and_without_tls(tmp_path: Path, is_tls: bool) -> None:
    found = re.search(r"HEALTHCHECK .*\\\n CMD (\[.*\])", DOCKERFILE)
    assert found
    _, *arguments = json.loads(found[1])
    certificate = tmp_path / "both.pem"
    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        if is_tls:
            make = (
                "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=data.example.com -keyout k.pem -out c.pem"
            )
            subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
            certificate.write_bytes((tmp_path / "k.pem").read_bytes() + (tmp_path / "c.pem").read_bytes())
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        check = [each.replace(":7070", f":{server.server_address[1]}") for each in arguments]
        environ = os.environ | ({"TABARD_TLS_CERT": str(certificate)} if is_tls else {})
        done = subprocess.run([sys.executable, *check], env=environ, capture_output=True, text=True, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stderr
