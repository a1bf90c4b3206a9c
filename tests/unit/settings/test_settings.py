"""Settings: layers, problems named together, what must hold between them."""

import msgspec
import pytest

from tabard.settings import (
    Settings,
    SettingsInvalid,
    collector_url,
    descriptions,
    is_loopback,
    load,
    load_with_origins,
    without_settings,
)


def test_later_layers_win_and_each_value_says_where_it_came_from() -> None:
    settings, origins = load_with_origins(
        file={"collectors": 2, "web": "127.0.0.1:1"},
        environ={"TABARD_COLLECTORS": "3", "TABARD_LOG_LEVEL": "DEBUG", "HOME": "/"},
        flags={"log_level": "ERROR", "collect": None},
    )
    assert (settings.collectors, settings.web, settings.log_level) == (3, "127.0.0.1:1", "ERROR")
    assert (origins["collectors"], origins["web"], origins["log_level"], origins["collect"]) == (
        "environment",
        "file",
        "flag",
        "default",
    )


def test_every_problem_is_named_at_once_with_its_layer() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(file={"colectors": 2}, environ={"TABARD_COLLECTORS": "none"}, flags={"json_depth_max": 0})
    text = str(caught.value)
    assert "file: colectors: no such setting" in text
    assert "environment: TABARD_COLLECTORS:" in text
    assert "flag: json_depth_max:" in text


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"collect": "0.0.0.0:7070"}, "public_url"),
        ({"public_url": "data.example.com"}, "http://"),
        ({"tls_cert": "cert.pem"}, "tls_key"),
        ({"collect": "nonsense"}, "host:port"),
        ({"web": "127.0.0.1:http"}, "host:port"),
        ({"alarm_url": "ops@example.com"}, "alarm_url"),
        ({"message_bytes_max": 600_000}, "batch_bytes_max"),
        ({"trusted_proxies": "10.0.0.0/8, proxy.local"}, "trusted_proxies .*'proxy.local'"),
        ({"log_level": "loud"}, "log_level: one of DEBUG, INFO, WARNING, ERROR, not 'loud'"),
        ({"header_timeout_s": 0}, "header_timeout_s"),
        ({"body_timeout_s": -1.0}, "body_timeout_s"),
        ({"delivery_timeout_s": 0.0}, "delivery_timeout_s"),
    ],
)
def test_settings_that_do_not_hold_together_are_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=named):
        load(flags=values)


def test_wrong_values_and_what_does_not_hold_together_are_named_in_one_message() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(
            flags={"collectors": "many", "collect": "nonsense", "web": "also", "tls_cert": "c", "trusted_proxies": "x"}
        )
    named = ("collectors:", "collect is an address", "web is an address", "tls_key", "trusted_proxies")
    assert [each for each in named if each not in str(caught.value)] == []


def test_a_value_that_is_wrong_brings_no_second_problem_about_what_hangs_on_it() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(flags={"tls_cert": "c.pem", "tls_key": 5})
    assert "go together" not in str(caught.value)


def test_a_misspelt_variable_is_named_as_it_stands_in_the_environment() -> None:
    with pytest.raises(SettingsInvalid, match="environment: TABARD_COLECTORS: no such setting"):
        load(environ={"TABARD_COLECTORS": "2"})


def test_what_kubernetes_says_of_services_is_no_setting() -> None:
    links = {
        "TABARD_SERVICE_HOST": "10.0.0.11",
        "TABARD_SERVICE_PORT": "7070",
        "TABARD_SERVICE_PORT_HTTP": "7070",
        "TABARD_PORT": "tcp://10.0.0.11:7070",
        "TABARD_PORT_7070_TCP": "tcp://10.0.0.11:7070",
        "TABARD_PORT_7070_TCP_PROTO": "tcp",
        "TABARD_PORT_7070_TCP_PORT": "7070",
        "TABARD_PORT_7070_TCP_ADDR": "10.0.0.11",
        "TABARD_WEB_SERVICE_HOST": "10.0.0.12",
        "TABARD_WEB_PORT": "tcp://10.0.0.12:7071",
    }
    assert load(environ=links) == Settings()
    with pytest.raises(SettingsInvalid, match="TABARD_WEB_PORT"):
        load(environ={"TABARD_WEB_PORT": "8080"})


def test_a_public_address_is_fine_with_a_public_url() -> None:
    settings = load(flags={"collect": "0.0.0.0:7070", "public_url": "https://data.example.com/"})
    assert collector_url(settings) == "https://data.example.com"


def test_without_a_public_url_clients_reach_the_collector_at_its_own_address() -> None:
    assert collector_url(Settings()) == "http://127.0.0.1:7070"
    assert collector_url(Settings(tls_cert="c", tls_key="k")) == "https://127.0.0.1:7070"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:1", True), ("[::1]:1", True), ("localhost:1", True), ("0.0.0.0:1", False), ("example.com:1", False)],
)
def test_loopback_is_told_from_what_other_machines_reach(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_a_child_keeps_the_keys_of_the_environment_but_not_its_settings() -> None:
    environ = {"TABARD_COLLECT": "x", "TABARD_SECRET_KEY": "1:…", "TABARD_SECRET_KEY_FILE": "f", "PATH": "/bin"}
    assert without_settings(environ) == {"TABARD_SECRET_KEY": "1:…", "TABARD_SECRET_KEY_FILE": "f", "PATH": "/bin"}


def test_every_setting_says_what_it_is_for() -> None:
    about = descriptions()
    assert list(about) == list(Settings.__struct_fields__)
    assert all(text.endswith(".") for text in about.values())


def test_a_child_reads_back_exactly_the_settings_its_parent_wrote() -> None:
    settings = load(flags={"collectors": 4, "blocked_values": "a,b", "delivery_timeout_s": 2.5})
    assert load(file=msgspec.json.decode(msgspec.json.encode(settings))) == settings
