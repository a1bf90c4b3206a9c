"""Every path of the web role is on its page, and every one that answers JSON in its OpenAPI file."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.routing import Match, Route

from tabard.web.app import api_routes, page_routes
from tabard.web.pages.docs import openapi

PAGE = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")
SAMPLES = {"collection": "users", "external_id": "user_id:u1", "part": "traits", "profile": "user:u1"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation of the file."""
    for path, item in openapi("openapi-web.yaml")["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def answering(method: str, path: str) -> Route | None:
    """The route that answers a call of the file, its parameters filled in."""
    called = re.sub(r"{(\w+)}", lambda name: SAMPLES.get(name[1], "x"), path)
    scope = {"type": "http", "method": method, "path": called, "root_path": ""}
    return next((route for route in api_routes() if route.matches(scope)[0] == Match.FULL), None)


def names(path: str) -> set[str]:
    return set(re.findall(r"{(\w+)", path))


def test_every_path_of_the_web_role_is_documented() -> None:
    paths = {re.sub(r":text}", "}", route.path) for route in (*page_routes(), *api_routes())} - {"/"}
    assert {path for path in paths if path not in PAGE} == set()


def test_every_route_that_answers_json_is_in_the_openapi_file_and_every_operation_of_the_file_is_a_route() -> None:
    found = {(method, path): answering(method, path) for method, path, _ in operations()}
    assert [each for each, route in found.items() if route is None] == []
    described = {(method, route.path) for (method, _), route in found.items() if route}
    routed = {(method, route.path) for route in api_routes() for method in route.methods or () if method != "HEAD"}
    assert routed - described == set()


def test_the_openapi_file_describes_each_parameter_of_a_path_and_the_answer_to_a_stranger() -> None:
    parameters = openapi("openapi-web.yaml")["components"]["parameters"]
    for _, path, operation in operations():
        given = [parameters[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
                 for each in operation.get("parameters", ())]  # fmt: skip
        assert {each["name"] for each in given if each["in"] == "path"} == names(path), path
        assert ("401" in operation["responses"]) == (operation.get("security") != []), path
