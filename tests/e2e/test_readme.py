"""The README's tour, taken word by word: each block is run, with this installation's addresses and key put in."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.testing.faulty_destination import FaultyDestination
from tabard.testing.installation import Installation, Json, eventually, running
from tests.e2e.conftest import NODE
from tests.e2e.receiver import receiving

pytestmark = pytest.mark.e2e

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
TOUR = README.partition("## Sixty seconds")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TOUR, re.MULTILINE | re.DOTALL)
USER = "97980cfea0067"


@pytest.fixture(scope="module")
def webhook() -> Iterator[FaultyDestination]:
    with receiving() as destination:
        yield destination


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("readme") / "data"
    with running(folder, environ={"TABARD_EGRESS_PRIVATE": "true"}) as installation:
        yield installation


def blocks(language: str, tabard: Installation, webhook: FaultyDestination) -> list[str]:
    """The tour's blocks in a language, as somebody types them here."""
    words = {
        "http://127.0.0.1:7070": tabard.collector,
        "https://example.com/hook": webhook.url,
        "KEY=…": f"KEY={tabard.write_key}",
        ".venv/bin/tabard": f"{sys.executable} -m tabard",
    }
    found = []
    for named, text in BLOCKS:
        for word, here in words.items():
            text = text.replace(word, here)  # noqa: PLW2901
        found += [text] if named == language else []
    return found


def stored(tabard: Installation, call_type: str) -> list[Json]:
    return [row["message"] for row in tabard.stored() if row["type"] == call_type]


def test_the_tour_has_the_blocks_that_are_run_here() -> None:
    assert [language for language, _ in BLOCKS] == ["sh", "sh", "python", "js", "js"]


def test_the_call_is_kept_the_person_shown_the_webhook_added_and_the_next_call_sent_on(
    tabard: Installation, webhook: FaultyDestination
) -> None:
    environ = {**os.environ, "TABARD_DATA": str(tabard.data)}
    call, look = blocks("sh", tabard, webhook)
    answer = subprocess.run(["bash", "-euc", call], capture_output=True, text=True, check=True, timeout=20)
    assert json.loads(answer.stdout) == {"success": True}
    assert eventually(lambda: stored(tabard, "identify"))
    show, add, tail = look.splitlines()
    shown = subprocess.run(["bash", "-c", show], env=environ, capture_output=True, text=True, check=True, timeout=20)
    assert "cool.person@example.com" in shown.stdout
    subprocess.run(["bash", "-c", add], env=environ, capture_output=True, check=True, timeout=20)
    assert eventually(lambda: tabard.get("/api/destinations")["destinations"][0]["books"])
    with subprocess.Popen(tail.split(), env=environ, stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            subprocess.run(["bash", "-euc", call], capture_output=True, check=True, timeout=20)
            assert eventually(lambda: webhook.taken)
            assert USER in following.stdout.readline() + following.stdout.readline()
        finally:
            following.terminate()


def test_the_python_lines(tabard: Installation, webhook: FaultyDestination) -> None:
    (lines,) = blocks("python", tabard, webhook)
    subprocess.run([sys.executable, "-c", f"KEY = {tabard.write_key!r}\n{lines}"], check=True, timeout=30)
    (track,) = eventually(lambda: stored(tabard, "track"))
    assert (track["userId"], track["event"], track["properties"]) == (USER, "Order Completed", {"revenue": 39.95})


def test_the_node_lines(tabard: Installation, webhook: FaultyDestination, node_packages: str) -> None:
    lines, _ = blocks("js", tabard, webhook)
    script = f"const KEY = {json.dumps(tabard.write_key)};\n{lines}"
    subprocess.run([node_packages, "--input-type=module", "-e", script], cwd=NODE, check=True, timeout=30)
    assert eventually(lambda: tabard.profile(f"user:{USER}")["traits"].get("plan") == "pro")


def test_the_browser_lines(tabard: Installation, webhook: FaultyDestination, node_packages: str, chromium: str) -> None:
    added = tabard.add_source("shop", "browser")
    _, lines = blocks("js", tabard, webhook)
    script = f"const KEY = {json.dumps(added['writeKey'])};\n{lines}"
    bundle = [str(NODE / "node_modules" / ".bin" / "esbuild"), "--bundle", "--format=iife", "--log-level=error"]
    built = subprocess.run(bundle, input=script, cwd=NODE, capture_output=True, text=True, check=True, timeout=30)
    inline = built.stdout.replace("</script", "<\\/script")
    pages = json.dumps([f"<!doctype html><title>Shop</title><script>{inline}</script>"])
    command = [node_packages, "pages.mjs", chromium]
    done = subprocess.run(command, input=pages, cwd=NODE, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["trouble"] == []
    assert eventually(lambda: stored(tabard, "page"))

    def anonymous() -> list[Json]:
        return [message for message in stored(tabard, "identify") if not message.get("userId")]

    (message,) = eventually(anonymous)
    assert message["traits"] == {"subscriptionStatus": "inactive"}
