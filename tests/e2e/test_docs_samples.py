"""Every sample of the API page does what the page says, in the words in which the page shows it."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tabard.testing.installation import Installation, Json, eventually, running
from tabard.web.pages.docs import operations
from tests.e2e.conftest import NODE

pytestmark = pytest.mark.e2e

CALLS = {"identify": 2, "track": 2, "page": 1, "screen": 1, "group": 1, "alias": 1}
"""What the samples of one language send in all: each call once, and an identify and a track more as a batch."""


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("docs") / "data") as installation:
        yield installation


def samples(tabard: Installation, language: str, source: Json) -> list[str]:
    """The samples of a language as `/docs` shows them, with a write key put in as their reader does."""
    return [
        sample["source"].replace("YOUR_WRITE_KEY", source["writeKey"])
        for operation in operations(tabard.collector)
        for sample in operation["samples"]
        if sample["lang"] == language
    ]


def run_each(command: list[str], sources: list[str], folder: Path | None = None) -> None:
    def one(source: str) -> None:
        done = subprocess.run([*command, source], capture_output=True, timeout=60, check=False, cwd=folder)
        assert done.returncode == 0, f"{source}\n{done.stdout!r}{done.stderr!r}"

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, sources))


def assert_stored(tabard: Installation, source: Json, expected: dict[str, int]) -> None:
    def types() -> Counter[str]:
        return Counter(row["type"] for row in tabard.stored() if row["source"] == source["id"])

    eventually(lambda: types().total() >= sum(expected.values()))
    assert types() == expected


def test_the_curl_samples(tabard: Installation) -> None:
    source = tabard.add_source("curl")
    # Their words, but quiet, and failing where the answer is no success.
    quiet = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }; eval "$0"'
    run_each(["bash", "-c", quiet], samples(tabard, "curl", source))
    assert_stored(tabard, source, CALLS | {"track": 3})


def test_the_python_samples(tabard: Installation) -> None:
    source = tabard.add_source("python")
    run_each([sys.executable, "-c"], samples(tabard, "Python", source))
    assert_stored(tabard, source, CALLS)


def test_the_node_samples(tabard: Installation, node_packages: str) -> None:
    source = tabard.add_source("node")
    run_each([node_packages, "--input-type=module", "-e"], samples(tabard, "Node", source), NODE)
    assert_stored(tabard, source, CALLS)


def test_the_browser_samples_in_a_script_tag(tabard: Installation, node_packages: str, chromium: str) -> None:
    source = tabard.add_source("browser", "browser")
    pages = [
        f"<!doctype html><title>Shop</title><body><script>{script}</script>"
        for script in samples(tabard, "JavaScript", source)
    ]
    command = [node_packages, "pages.mjs", chromium]
    done = subprocess.run(
        command, input=json.dumps(pages), cwd=NODE, capture_output=True, text=True, timeout=90, check=True
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(pages)
    assert all(set(outcome["posts"]) == {200} and not outcome["trouble"] for outcome in outcomes)
    assert_stored(tabard, source, CALLS)


def test_every_operation_has_a_sample_in_curl_and_every_call_in_four_languages(tabard: Installation) -> None:
    for operation in operations(tabard.collector):
        languages = [sample["lang"] for sample in operation["samples"]]
        expected = ["curl", "Python", "Node", "JavaScript"] if operation["method"] == "POST" else ["curl"]
        assert languages == expected, operation["path"]
