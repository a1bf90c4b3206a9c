"""The OpenAPI file that a running web role serves and its answers say the same."""

from collections.abc import Iterator
from urllib.request import urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tabard.testing.installation import Installation, eventually, running
from tabard.web.pages.docs import openapi

pytestmark = pytest.mark.e2e

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
schema = schemathesis.openapi.from_dict(openapi("openapi-web.yaml"))
NAMES = ("user:u1", "email:u1@example.com", "anon:a1", "user:gone", "anon:kiosk")
KNOWN = {"key": "plan", "message_id": "m1", "name": "crm", "subscription": "Every message"}
EXTERNAL_IDS = ("user_id:u1", "email:u1@example.com", "anonymous_id:a1", "group_id:acme", "phone:1")


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("openapi-web") / "data") as installation:
        traits = {"email": "u1@example.com", "plan": "pro", "age": 3}
        installation.send("/v1/identify", {"userId": "u1", "anonymousId": "a1", "traits": traits})
        installation.send("/v1/identify", {"userId": "u1", "messageId": "m1", "traits": {"plan": "free"}})
        installation.send("/v1/group", {"userId": "u1", "groupId": "acme", "traits": {"seats": 2}})
        installation.send("/v1/identify", {"userId": "gone", "traits": {"plan": "x"}})
        for number in range(6):
            installation.send("/v1/track", {"userId": f"k{number}", "anonymousId": "kiosk", "event": "E"})
        refused = {"type": "track", "userId": "u1"}
        installation.send("/v1/batch", {"batch": [refused, {**refused, "event": "E"}]})
        assert eventually(lambda: len(installation.stored()) == 11)
        installation.tabard("destination", "add", "webhook", "crm", "--set", "url=http://192.0.2.1/")
        yield installation


@schema.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_the_file_allows_is_answered_as_the_file_says(case: schemathesis.Case, tabard: Installation) -> None:
    headers = {"Authorization": f"Bearer {tabard.admin_token}"}
    case.call_and_validate(base_url=tabard.web, headers=headers, checks=CHECKS, timeout=10)


@schema.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_who_is_known_is_answered_as_the_file_says(case: schemathesis.Case, tabard: Installation) -> None:
    headers = {"Authorization": f"Bearer {tabard.admin_token}"}
    for name, external_id in zip(NAMES, EXTERNAL_IDS, strict=True):
        if "profile" in case.path_parameters:
            case.path_parameters["profile"] = name
        if "external_id" in case.path_parameters:
            case.path_parameters["external_id"] = external_id
        for parameter, known in KNOWN.items():
            if parameter in case.path_parameters:
                case.path_parameters[parameter] = known
        case.call_and_validate(base_url=tabard.web, headers=headers, checks=CHECKS, timeout=10)


def test_the_file_is_served_at_the_web_address_and_linked_from_the_page_of_the_api(tabard: Installation) -> None:
    assert tabard.get("/openapi-web.json") == openapi("openapi-web.yaml")
    assert tabard.get("/openapi.json")["servers"] == [{"url": tabard.collector}]
    with urlopen(f"{tabard.web}/docs", timeout=10) as answer:
        assert 'href="/openapi-web.json"' in answer.read().decode()
