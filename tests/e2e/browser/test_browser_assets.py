"""The built browser client that the wheel carries: fresh, in its budget, and served as what it is."""

import gzip
import hashlib
import json
import shutil
import subprocess
import zlib
from base64 import b64encode
from pathlib import Path

import pytest

from tabard.collector import browser_assets as assets
from tabard.collector.browser_assets.identity_cookies import renewed_cookies
from tabard.collector.scripts import Scripts

CLIENT = Path(__file__).parents[3] / "clients" / "browser"
BUILT = Path(assets.__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "browser-client.md"


def test_the_built_files_are_made_from_the_sources_as_they_are() -> None:
    if not CLIENT.is_dir():
        pytest.skip("clients/browser is not here: this is no checkout")
    digest = hashlib.sha256()
    within = [path for folder in ("src", "build") for path in sorted((CLIENT / folder).iterdir())]
    for source in [*within, CLIENT / "package.json", CLIENT / "package-lock.json"]:
        digest.update(source.relative_to(CLIENT).as_posix().encode() + source.read_bytes())
    assert digest.hexdigest() == assets.MANIFEST.sources, "stale: run `npm run build` in clients/browser and commit"


def test_script_and_snippet_keep_their_budgets() -> None:
    assert len(assets.script_for("0e1d2c3b4a5968778695", b"{}", "gzip").body) <= 6000
    assert len(gzip.compress((BUILT / "snippet.js").read_bytes(), 9)) <= 700


@pytest.mark.parametrize("size", [0, 1, 255, 50_000])
def test_gzip_holds_the_code_and_its_call_in_one_member(size: int) -> None:
    settings = json.dumps({"endpoint": "x" * size}).encode()
    plain = assets.script_for("wk", settings, None)
    assert plain.body.endswith(b'","writeKey":"wk"});')
    unpacking = zlib.decompressobj(31)
    assert unpacking.decompress(assets.script_for("wk", settings, "gzip").body) == plain.body
    assert unpacking.eof
    assert unpacking.unused_data == b""


def test_the_size_the_build_noted_is_the_size_served() -> None:
    noted = assets.MANIFEST.gzip_bytes["script"]
    # Node and Python may carry different builds of zlib, which end the last block a little differently.
    assert abs(len(assets.script_for("0e1d2c3b4a5968778695", b"{}", "gzip").body) - noted) <= 8


def test_the_page_of_the_client_names_the_sizes_that_are_served() -> None:
    brotli = len(assets.script_for("0e1d2c3b4a5968778695", b"{}", "br").body)
    sizes = f"{assets.MANIFEST.gzip_bytes['script']:,} bytes gzip, {brotli:,} brotli"
    assert sizes in PAGE.read_text("utf-8").replace("\n", " ")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node to read brotli: apt-get install nodejs")
def test_brotli_holds_the_same_however_large_the_settings_are() -> None:
    for size in (0, 1, 255, 256, 50_000):
        settings = json.dumps({"endpoint": "x" * size}).encode()
        unpacked = subprocess.run(
            ["node", "-e", "process.stdin.pipe(require('zlib').createBrotliDecompress()).pipe(process.stdout)"],
            input=assets.script_for("wk", settings, "br").body,
            capture_output=True,
            check=True,
            timeout=20,
        )
        assert unpacked.stdout == assets.script_for("wk", settings, None).body


def test_each_encoding_has_its_own_etag_and_the_settings_change_it() -> None:
    etags = {assets.script_for("wk", b"{}", encoding).etag for encoding in (None, "gzip", "br")}
    assert len(etags | {assets.script_for("wk", b'{"spa":true}', None).etag}) == 4


@pytest.mark.parametrize("settings", [b"[]", b"1", b"{", b"{}; alert(1)", b'{"a":"' + b"x" * 60_000 + b'"}'])
def test_settings_that_are_no_small_json_object_are_refused(settings: bytes) -> None:
    with pytest.raises(ValueError, match="settings"):
        assets.script_for("wk", settings, None)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("BR", "br"),
        ("identity", None),
        ("", None),
        ("gzip; q=0", None),
    ],
)
def test_the_best_accepted_encoding_is_chosen(accepted: str, chosen: str | None) -> None:
    assert assets.encoding_for(accepted) == chosen


def test_the_immutable_file_is_found_by_its_own_name_only_and_matches_its_integrity() -> None:
    manifest, scripts = assets.MANIFEST, Scripts()
    served = scripts.find(manifest.version, manifest.hash, None)
    assert served is not None
    assert ("Cache-Control", "public, max-age=31536000, immutable") in served.headers
    assert manifest.integrity == "sha384-" + b64encode(hashlib.sha384(served.body).digest()).decode()
    packed = scripts.find(manifest.version, manifest.hash, "gzip")
    assert packed is not None
    assert gzip.decompress(packed.body) == served.body
    assert scripts.find(manifest.version, "other", None) is None
    assert scripts.find("0.0.0", manifest.hash, None) is None


def test_a_snippet_names_key_host_and_global() -> None:
    text = assets.snippet("wk_1", "https://events.example.com/tabard/", "cioanalytics")
    assert "https://events.example.com/tabard/v1/analytics-js/snippet/" in text
    assert '"wk_1"' in text
    assert '"cioanalytics"' in text
    assert "__" not in text.replace("__t", "")


def test_a_snippet_hands_the_options_of_its_page_to_load_and_none_can_end_the_script_element() -> None:
    options = {"spa": True, "integrations": {"</script>": "\u2028"}}
    text = assets.snippet("wk_1", "https://events.example.com", options=options)
    given = text.split('.load("wk_1",')[1]
    assert json.JSONDecoder().raw_decode(given)[0] == options
    assert "</script>" not in text


@pytest.mark.parametrize(
    ("key", "host", "name"),
    [
        ('wk"', "https://a.example", "tabard"),
        ("wk", "https://a.example/`", "tabard"),
        ("wk", "https://a.example/${x}", "tabard"),
        ("</script>", "https://a.example", "tabard"),
        ("wk", "https://a.example", "not a name"),
    ],
)
def test_a_value_that_could_leave_its_string_is_refused(key: str, host: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"snippet|JavaScript"):
        assets.snippet(key, host, name)


def test_identity_cookies_are_set_once_more_for_the_domain_the_script_found() -> None:
    sent = 'theme={"a": [1, 2]}; ajs_anonymous_id=a-1; ajs_user_id=u%201; other=x'
    cookies = renewed_cookies(sent, domain=".example.com", host="events.example.com", secure=True)
    attributes = "Max-Age=31536000; Path=/; SameSite=Lax; Domain=.example.com; Secure"
    assert cookies == (f"ajs_anonymous_id=a-1; {attributes}", f"ajs_user_id=u%201; {attributes}")


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        (".example.com", "events.other.com"),
        (".com", "events.com"),
        ("example.com", "events.example.com"),
        (".ample.com", "events.example.com"),
        (".example.com; HttpOnly", "events.example.com"),
        ("." + "x" * 300, "x" * 300),
    ],
)
def test_no_cookie_is_set_for_a_domain_that_is_not_the_servers(domain: str, host: str) -> None:
    assert renewed_cookies("ajs_user_id=u1", domain=domain, host=host, secure=True) == ()


def test_what_the_visitor_decided_is_renewed_with_the_identity() -> None:
    (cookie,) = renewed_cookies("tabard_consent=%7B%22ads%22%3Afalse%7D", domain="", host="localhost", secure=False)
    assert cookie == "tabard_consent=%7B%22ads%22%3Afalse%7D; Max-Age=31536000; Path=/; SameSite=Lax"


def test_a_value_that_is_no_id_is_not_repeated() -> None:
    for value in ("", "%0d%0aSet-Cookie:x", "x" * 1001):
        assert renewed_cookies(f"ajs_user_id={value}", domain="", host="localhost", secure=False) == ()
