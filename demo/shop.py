"""The shop's back end: FastAPI and the Python client. It knows the visitor by the browser client's cookie.

A visitor browses (anonymous), asks for the newsletter (a lead by e-mail), orders (a customer by id). The page shows
what Tabard makes of it: one profile that begins with the anonymous visit.
"""

import secrets
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from tabard.collector.browser_assets import snippet
from tabard_client import (
    AsgiIdentity,
    AsyncClient,
    clear_identity_cookies,
    identity_from_request,
    set_identity_cookies,
    set_user,
)

PAGE = (Path(__file__).parent / "page.html").read_text("utf-8")


class Tabard:
    """Where the shop's Tabard is, and the keys to it."""

    def __init__(self, collector: str, web: str, browser_key: str, server_key: str, admin_token: str) -> None:
        self.collector, self.web, self.browser_key, self.admin_token = collector, web, browser_key, admin_token
        self.client = AsyncClient(server_key, collector)


def create_shop(tabard: Tabard) -> FastAPI:
    """The shop as an ASGI application."""
    shop = FastAPI(title="Demo shop")
    shop.add_middleware(AsgiIdentity)

    @shop.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(
            PAGE.replace("__SNIPPET__", snippet(tabard.browser_key, tabard.collector)).replace("__WEB__", tabard.web)
        )

    @shop.post("/order")
    async def order(request: Request, response: Response) -> dict[str, Any]:
        """Registers the customer, logs them in and sells one pair of shoes. The browser's anonymousId is bound by the
        middleware; by the cookie the browser client goes on as this customer."""
        form = await request.json()
        customer = f"cust-{secrets.token_hex(3)}"
        set_user(customer)
        set_identity_cookies(response, user_id=customer, secure=False)
        await tabard.client.identify(
            traits={"email": str(form["email"]), "first_name": str(form["name"]), "plan": "customer"}
        )
        await tabard.client.track(
            event="Order Completed", properties={"revenue": 89.5, "currency": "EUR", "sku": "SHOE-1"}
        )
        return {"customer": customer}

    @shop.post("/logout")
    async def logout() -> Response:
        """Forgets the person on the server's side; the browser client follows."""
        response = Response(status_code=204)
        clear_identity_cookies(response, secure=False)
        return response

    @shop.get("/known")
    async def known(request: Request) -> JSONResponse:
        """What Tabard knows of whoever asks: their profile by the anonymousId in the cookie."""
        visitor = identity_from_request(request)
        if not visitor.anonymous_id:
            return JSONResponse({})
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {tabard.admin_token}"}) as web:
            answer = await web.get(f"{tabard.web}/api/profiles/anon:{visitor.anonymous_id}")
        return JSONResponse(answer.json() if answer.is_success else {})

    return shop
