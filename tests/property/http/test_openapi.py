"""The OpenAPI file and a running collector say the same: whatever the file allows is answered as the file says."""

import base64
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tabard.testing.installation import Installation, eventually, running
from tabard.web.pages.docs import openapi

pytestmark = pytest.mark.e2e

CHECKS = [
    positive_data_acceptance,
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schema = schemathesis.openapi.from_dict(openapi())


@pytest.fixture(scope="module")
def tabard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("openapi") / "data") as installation:
        yield installation


@schema.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_the_file_allows_is_answered_as_the_file_says(case: schemathesis.Case, tabard: Installation) -> None:
    key = base64.b64encode(f"{tabard.write_key}:".encode()).decode()
    headers = {"Authorization": f"Basic {key}"}
    case.call_and_validate(base_url=tabard.collector, headers=headers, checks=CHECKS, timeout=10)


def test_after_all_that_the_books_balance_and_nothing_is_in_quarantine(tabard: Installation) -> None:
    books = eventually(lambda: (found := tabard.get("/api/status")["books"]) and not found["unresolved"] and found)
    assert books
    assert books["stored"] > 0
    assert (books["difference"], books["quarantined"]) == (0, 0)
