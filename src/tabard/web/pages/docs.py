"""`/docs`: the API of the collector, rendered from the OpenAPI file, with samples that a test runs; and the file of the
web role's own.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tabard.settings import collector_url
from tabard.web.deps import Deps
from tabard.web.render import page

HOST: Final = "https://collector.example"
"""The host that the samples name, for that of the installation at hand."""


@cache
def openapi(name: str = "openapi.yaml") -> dict[str, Any]:
    """An OpenAPI document, parsed once: the collector's, or `openapi-web.yaml`."""
    document: dict[str, Any] = yaml.safe_load((files("tabard.web") / name).read_text("utf-8"))
    return document


def operations(host: str) -> list[dict[str, Any]]:
    """Each operation as the page shows it, its samples with the collector's own address."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation["summary"],
            "description": operation.get("description", ""),
            "parameters": [_resolved(each) for each in operation.get("parameters", ())],
            "answers": {status: _resolved(each)["description"] for status, each in operation["responses"].items()},
            "samples": [
                {"lang": sample["lang"], "source": sample["source"].replace(HOST, host)}
                for sample in operation.get("x-codeSamples", ())
            ],
        }
        for path, item in openapi()["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post")
    ]


def docs_page(request: Request) -> Response:
    """`GET /docs`; open without a login: it shows nothing of this installation but its address."""
    deps: Deps = request.app.state.deps
    shown = {"info": openapi()["info"], "operations": operations(collector_url(deps.settings))}
    return page(request, "docs.html", shown)


def openapi_api(request: Request) -> Response:
    """`GET /openapi.json`: the twin of `/docs`, with the collector's own address."""
    deps: Deps = request.app.state.deps
    return JSONResponse(openapi() | {"servers": [{"url": collector_url(deps.settings)}]})


def openapi_web_api(_: Request) -> Response:
    """`GET /openapi-web.json`: the API of the web role; open, as it shows nothing of this installation."""
    return JSONResponse(openapi("openapi-web.yaml"))


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    """What a part of the document says, itself or by reference."""
    if "$ref" not in part:
        return part
    found: Any = openapi()
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    resolved: dict[str, Any] = found
    return resolved
