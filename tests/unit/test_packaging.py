"""The image is built from what the repository pins and holds."""

import json
import re
from pathlib import Path

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


def test_the_health_check_of_the_image_is_a_command_that_follows_the_settings() -> None:
    found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found
    assert json.loads(found[1]) == ["tabard", "health"]
    assert "TABARD_DATA=" in DOCKERFILE
