"""What somebody gets who installs the client from a package index, without this repository."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

CLIENT = Path(__file__).parents[1]
ROOT = CLIENT.parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    code = "import sys; from hatchling.build import build_sdist as s, build_wheel as w; s(sys.argv[1]); w(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=CLIENT, check=True, capture_output=True)
    return folder


def test_wheel_and_source_archive_hold_the_licence_of_the_repository(built: Path) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    with ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        assert wheel.read(next(name for name in names if name.endswith("licenses/LICENSE"))) == licence
    modules = {f"tabard_client/{path.name}" for path in (CLIENT / "src" / "tabard_client").iterdir() if path.is_file()}
    assert modules == {name for name in names if name.startswith("tabard_client/")}
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        inside = archive.extractfile(next(name for name in archive.getnames() if name.endswith("/LICENSE")))
        assert inside is not None
        assert inside.read() == licence


def test_the_description_links_to_nothing_that_is_not_there(built: Path) -> None:
    with ZipFile(next(built.glob("*.whl"))) as wheel:
        description = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    assert "tabard-client" in description
    assert re.findall(r"\]\((?!https://)[^)]*\)", description) == []
