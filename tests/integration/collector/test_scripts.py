"""The immutable scripts of earlier releases: kept in the data folder, served as they were, never when damaged."""

import os
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tabard.collector.browser_assets import CURRENT, Encoding, ImmutableScript, script_for
from tabard.collector.scripts import Scripts, keep
from tabard.testing.installation import running

ENCODINGS: tuple[Encoding | None, ...] = (None, "gzip", "br")


def built(release: int) -> ImmutableScript:
    """The client as another release would have built it: the same code around other text."""
    plain, packed, brotli = (script_for("wk", b'{"release":%d}' % release, each).body for each in ENCODINGS)
    return ImmutableScript(version=f"0.0.{release}", plain=plain, gzip=packed, br=brotli)


def body_of(script: ImmutableScript, encoding: Encoding | None) -> bytes:
    return {None: script.plain, "gzip": script.gzip, "br": script.br}[encoding]


def kept(folder: Path, *scripts: ImmutableScript, scripts_max: int = 10, bytes_max: int = 10**9) -> Scripts:
    """What is served after starts with each of the scripts in turn, a second apart."""
    for age_s, script in enumerate(reversed(scripts)):
        keep(folder, script, scripts_max=scripts_max, bytes_max=bytes_max)
        os.utime(folder / f"{script.hash}.json", (10**9 - age_s, 10**9 - age_s))
    return keep(folder, CURRENT, scripts_max=scripts_max, bytes_max=bytes_max)


def is_served(scripts: Scripts, script: ImmutableScript) -> bool:
    return scripts.find(script.version, script.hash, None) is not None


def test_after_an_upgrade_pages_that_pin_the_old_script_get_it_byte_for_byte_also_from_a_backup(tmp_path: Path) -> None:
    data, before, damaged = tmp_path / "data", built(1), built(2)
    (data / "scripts").mkdir(parents=True)
    kept(data / "scripts", before, damaged)
    spoiled = data / "scripts" / f"{damaged.hash}.json"
    spoiled.write_bytes(spoiled.read_bytes().replace(b'"version":"0.0.2"', b'"version":"0.0.3"'))
    with running(data) as tabard:
        tabard.tabard("backup", str(tmp_path / "backup"))
        for script in (before, CURRENT):
            for encoding in ENCODINGS:
                url = f"{tabard.collector}/v1/js/{script.version}/{script.hash}.js"
                with urlopen(Request(url, headers={"Accept-Encoding": encoding or "identity"}), timeout=10) as answer:
                    assert answer.read() == body_of(script, encoding)
                    assert answer.headers["Content-Encoding"] == encoding
                    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
                    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
                    assert answer.headers["Access-Control-Allow-Origin"] == "*"
        for version in ("0.0.2", "0.0.3"):
            with pytest.raises(HTTPError) as refused:
                urlopen(f"{tabard.collector}/v1/js/{version}/{damaged.hash}.js", timeout=10)
            refused.value.close()
            assert refused.value.code == 404
    log = (tmp_path / "data.log").read_text("utf-8")
    assert "collector.script.damaged" in log
    backup = {path.name for path in (tmp_path / "backup" / "scripts").iterdir()}
    assert backup == {f"{script.hash}.json" for script in (before, damaged, CURRENT)}


def test_beyond_its_limits_the_folder_lets_go_of_what_was_current_longest_ago_but_never_of_the_current(
    tmp_path: Path,
) -> None:
    first, second, third = built(1), built(2), built(3)
    scripts = kept(tmp_path / "a", first, second, third, scripts_max=3)
    assert [is_served(scripts, each) for each in (first, second, third, CURRENT)] == [False, True, True, True]
    assert len(list((tmp_path / "a").iterdir())) == 3
    scripts = kept(tmp_path / "b", first, second, bytes_max=1)
    assert [is_served(scripts, each) for each in (first, second, CURRENT)] == [False, False, True]
    assert len(list((tmp_path / "b").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"sha256":"","script":{}}', b"x" * 2**21])
def test_a_file_that_is_no_script_is_left_out_and_the_others_are_served(tmp_path: Path, content: bytes) -> None:
    before = built(1)
    kept(tmp_path, before)
    (tmp_path / f"{'0' * 32}.json").write_bytes(content)
    scripts = keep(tmp_path, CURRENT, scripts_max=10, bytes_max=10**9)
    assert is_served(scripts, before)
    assert is_served(scripts, CURRENT)


def test_a_script_under_another_s_name_is_refused_and_a_spoiled_current_one_is_written_again(tmp_path: Path) -> None:
    before = built(1)
    kept(tmp_path, before)
    mine = tmp_path / f"{CURRENT.hash}.json"
    whole = mine.read_bytes()
    mine.write_bytes((tmp_path / f"{before.hash}.json").read_bytes())
    assert is_served(keep(tmp_path, CURRENT, scripts_max=10, bytes_max=10**9), before)
    assert mine.read_bytes() == whole


def test_a_folder_that_cannot_be_written_stops_no_start(tmp_path: Path) -> None:
    (tmp_path / "scripts").write_text("a file where the folder belongs")
    assert is_served(keep(tmp_path / "scripts", CURRENT, scripts_max=10, bytes_max=10**9), CURRENT)
