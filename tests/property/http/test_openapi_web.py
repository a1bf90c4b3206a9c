"""The OpenAPI file of the web role and a running one say the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tabard.testing.installation import Installation, eventually, running

pytestmark = pytest.mark.e2e

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
DOCUMENT = yaml.safe_load((Path(__file__).parents[3] / "spec" / "openapi-web.yaml").read_text("utf-8"))
schema = schemathesis.openapi.from_dict(DOCUMENT)
NAMES = ("user:u1", "email:u1@example.com", "anon:a1", "user:gone", "anon:kiosk")
EXTERNAL_IDS = ("user_id:u1", "email:u1@example.com", "anonymous_id:a1", "group_id:acme", "phone:1")


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("openapi-web") / "data") as installation:
        traits = {"email": "u1@example.com", "plan": "pro", "age": 3}
        installation.send("/v1/identify", {"userId": "u1", "anonymousId": "a1", "traits": traits})
        installation.send("/v1/identify", {"userId": "u1", "traits": {"plan": "free"}})
        installation.send("/v1/group", {"userId": "u1", "groupId": "acme", "traits": {"seats": 2}})
        installation.send("/v1/identify", {"userId": "gone", "traits": {"plan": "x"}})
        for number in range(6):
            installation.send("/v1/track", {"userId": f"k{number}", "anonymousId": "kiosk", "event": "E"})
        assert eventually(lambda: len(installation.stored()) == 10)
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
        if case.path_parameters.get("key"):
            case.path_parameters["key"] = "plan"
        case.call_and_validate(base_url=tabard.web, headers=headers, checks=CHECKS, timeout=10)
