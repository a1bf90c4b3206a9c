"""A logout ends the session itself: for copies of its cookie, in every web process, after a restart, in a backup."""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tabard.compose import sessions
from tabard.compose.sessions import EndedSessions
from tabard.testing.installation import Installation, eventually, running
from tests.integration.web.conftest import Site

NOW_S = 1_800_000_000
SESSION_S = 43_200


def logged_in(tabard: Installation) -> Site:
    site = Site(tabard, headers={"Accept": "text/html"})
    answer = site.ask("/login", form={"token": tabard.admin_token})
    site.cookies = answer.headers["set-cookie"].split(";")[0]
    return site


def log_out(site: Site) -> int:
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', site.ask("/messages").text)
    assert token
    return site.ask("/logout", form={"csrf": token[1]}).status


def is_open(site: Site) -> bool:
    return site.ask("/api/messages").status == 200


@contextlib.contextmanager
def second_web(tabard: Installation) -> Iterator[Installation]:
    """Another web process of the installation, as one behind the same balancer."""
    log = tabard.data.with_name("second.log")
    arguments = ["--data", str(tabard.data), "--web", "127.0.0.1:0", "--json"]
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "tabard", "web", *arguments], stderr=file)
    try:
        address = ""

        def started() -> bool:
            nonlocal address
            found = re.search(r'"address":\s*"([^"]+)"', log.read_text("utf-8"))
            address = found[1] if found else ""
            return bool(address)

        assert eventually(started), log.read_text("utf-8")
        yield replace(tabard, web=f"http://{address}")
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_logout_ends_every_copy_of_the_session_in_all_web_processes_and_for_good(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as tabard:
        mine, other = logged_in(tabard), logged_in(tabard)
        copy = replace(mine)
        assert mine.cookies != other.cookies
        assert is_open(copy)
        with second_web(tabard) as elsewhere:
            there = replace(copy, tabard=elsewhere)
            assert is_open(there)
            assert log_out(mine) == 303
            assert [is_open(each) for each in (copy, there, other)] == [False, False, True]
            assert copy.ask("/messages").headers["location"] == "/login?next=/messages"
        tabard.tabard("backup", str(tmp_path / "backup"))
    with running(data) as again:
        assert [is_open(replace(each, tabard=again)) for each in (copy, other)] == [False, True]
    subprocess.run(
        [sys.executable, "-m", "tabard", "restore", str(tmp_path / "backup"), "--data", str(tmp_path / "restored")],
        check=True,
        capture_output=True,
    )
    with running(tmp_path / "restored") as restored:
        assert [is_open(replace(each, tabard=restored)) for each in (copy, other)] == [False, True]


def test_a_logout_that_cannot_be_written_says_so_and_the_session_goes_on(tmp_path: Path) -> None:
    with running(tmp_path / "data") as tabard:
        site = logged_in(tabard)
        blocked = tabard.data / "run" / "sessions.lock"
        blocked.mkdir()
        assert log_out(site) == 503
        assert is_open(site)
        blocked.rmdir()
        assert log_out(site) == 303
        assert not is_open(site)


def ended(folder: Path) -> EndedSessions:
    return EndedSessions(folder / "sessions.json", folder / "lock", SESSION_S)


def test_sessions_that_have_expired_are_forgotten(tmp_path: Path) -> None:
    ended(tmp_path).add("a", NOW_S + 10, NOW_S)
    ended(tmp_path).add("b", NOW_S + 500, NOW_S + 100)
    assert not ended(tmp_path).holds("a", NOW_S + 10)
    assert ended(tmp_path).holds("b", NOW_S + 500)


def test_beyond_the_limit_what_expires_before_the_latest_of_them_is_over_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ENDED_MAX", 2)
    for number in range(3):
        ended(tmp_path).add(f"s{number}", NOW_S + 100 + number, NOW_S)
    assert all(ended(tmp_path).holds(f"s{number}", NOW_S + 100 + number) for number in range(3))
    assert ended(tmp_path).holds("older", NOW_S + 50)
    assert not ended(tmp_path).holds("younger", NOW_S + 103)
    assert (tmp_path / "sessions.json").stat().st_size < 100


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"sessions":[]}'])
def test_a_damaged_list_ends_what_began_before_the_damage_and_nothing_after(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sessions.json").write_bytes(content)
    now_s = int(time.time())
    assert ended(tmp_path).holds("any", now_s - 60 + SESSION_S)
    assert not ended(tmp_path).holds("any", now_s + 60 + SESSION_S)
    ended(tmp_path).add("mine", now_s + 60 + SESSION_S, now_s)
    assert ended(tmp_path).holds("any", now_s - 60 + SESSION_S)
    assert ended(tmp_path).holds("mine", now_s + 60 + SESSION_S)
