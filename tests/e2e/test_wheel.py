"""The wheel holds all the program needs: installed into an environment of its own it serves and shows its pages."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from urllib.request import urlopen

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build as b; b.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    package = REPOSITORY / "src" / "tabard"
    files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    needed = {name for name in files if "__pycache__" not in name}
    assert needed <= set(zipfile.ZipFile(wheel).namelist())


def test_a_server_installed_from_the_wheel_starts_and_serves_pages_docs_and_browser_client(
    wheel: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    zipfile.ZipFile(wheel).extractall(site)
    # What it depends on comes from the environment of the tests; the editable checkout stays out of it.
    dependencies = Path(pytest.__file__).parents[1]
    linked = tmp_path / "dependencies"
    linked.mkdir()
    for entry in dependencies.iterdir():
        if "tabard" not in entry.name and entry.suffix != ".pth":
            (linked / entry.name).symlink_to(entry)
    python = tmp_path / "env" / "bin" / "python"
    environ = {**os.environ, "PYTHONPATH": str(linked), "PYTHONSAFEPATH": "1"}
    where = subprocess.run(
        [python, "-c", "import tabard; print(tabard.__file__)"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))
    command = [str(python), "-m", "tabard", "serve", "--data", str(tmp_path / "data"), "--json"]
    command += ["--collect", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            block = json.loads(process.stdout.readline())
            web, collector, key = block["web"], block["collector"], block["writeKey"]
            assert "Admin token" in text_of(f"{web}/login")
            assert "brand" in text_of(f"{web}/static/style.css")
            assert "POST /v1/identify" in text_of(f"{web}/docs")
            assert json.loads(text_of(f"{web}/openapi.json"))["servers"] == [{"url": collector}]
            assert "/api/profiles" in json.loads(text_of(f"{web}/openapi-web.json"))["paths"]
            assert "identify" in text_of(f"{collector}/v1/analytics-js/snippet/{key}/analytics.min.js")
            assert json.loads(text_of(f"{collector}/ready"))["status"] == "ready"
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def text_of(url: str) -> str:
    with urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text
