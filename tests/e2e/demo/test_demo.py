"""The demo tells its story: a visitor, a lead by e-mail, a customer by id, and one profile that holds all of it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tabard.testing.installation import eventually

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

pytestmark = pytest.mark.e2e


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def shop() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "demo"], cwd=ROOT, env=os.environ | {"DEMO_PORT": str(port)}, stdout=subprocess.DEVNULL
    )
    try:
        assert eventually(lambda: listens(port), within_s=40)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_a_visitor_becomes_a_lead_and_then_a_customer_with_one_profile(
    shop: str, node_packages: str, chromium: str
) -> None:
    command = [node_packages, "shop.mjs", shop, chromium]
    done = subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=120)
    story = json.loads(done.stdout)
    anonymous, lead, customer = story["anonymous"], story["lead"], story["customer"]
    assert anonymous["canonical"].startswith("anon:")
    assert lead["canonical"] == "email:jane@example.com"
    assert customer["canonical"].startswith("user:cust-")
    assert set(anonymous["identifiers"]) < set(lead["identifiers"]) < set(customer["identifiers"])
    assert customer["traits"]["favouriteColour"] == "red"
    assert customer["traits"]["newsletter"] is True
    assert customer["traits"]["plan"] == "customer"
    assert story["profile"].endswith(f"/people/{quote(customer['canonical'], safe='')}")
    assert story["views"] == 1
    assert story["failed"] == []
    user_id, anonymous_id = story["loggedIn"]
    assert customer["canonical"] == f"user:{user_id}"
    after_user_id, after_anonymous_id = story["loggedOut"]
    assert after_user_id is None
    assert after_anonymous_id not in (None, anonymous_id)


def test_a_busy_port_is_named_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environ = os.environ | {"DEMO_PORT": str(taken.getsockname()[1])}
        done = subprocess.run(
            [sys.executable, "-m", "demo"],
            cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("demo: port_in_use:")
    assert done.stderr.count("\n") == 1
