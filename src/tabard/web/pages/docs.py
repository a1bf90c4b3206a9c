"""`/docs`: the API of the collector, rendered from the OpenAPI file, with samples that a test runs."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import Response

from tabard.web.deps import Deps
from tabard.web.render import page


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document, parsed once."""
    document: dict[str, Any] = yaml.safe_load((files("tabard.web") / "openapi.yaml").read_text("utf-8"))
    return document


def operations(host: str) -> list[dict[str, Any]]:
    """Each operation with its summary and its samples, their placeholders filled with this installation's address."""
    found = []
    for path, item in openapi()["paths"].items():
        for method, operation in item.items():
            if method not in ("get", "post"):
                continue
            samples = [
                {"lang": sample["lang"], "source": sample["source"].replace("https://collector.example", host)}
                for sample in operation.get("x-codeSamples", ())
            ]
            found.append({"method": method.upper(), "path": path, "samples": samples} | operation)
    return found


def docs_page(request: Request) -> Response:
    """`GET /docs`; open without a login: it shows nothing of this installation but its address."""
    deps: Deps = request.app.state.deps
    host = deps.settings.public_url or f"http://{deps.settings.collect}"
    return page(request, "docs.html", {"title": openapi()["info"]["title"], "operations": operations(host)})
