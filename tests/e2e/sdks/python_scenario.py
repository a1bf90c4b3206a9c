"""One scenario with a published Python SDK: `python python_scenario.py SDK URL WRITE_KEY`; ends after the flush."""

import sys
from datetime import UTC, datetime
from typing import Any

USER = "97980cfea0067"
TRAITS = {
    "first_name": "cool",
    "last_name": "person",
    "email": "cool.person@example.com",
    "created_at": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    "address": {"city": "Zürich", "postal_code": "8001"},
    "tags": ["a", "b"],
}


def client(sdk: str, url: str, write_key: str) -> Any:
    if sdk == "customerio-cdp-analytics":
        from customerio.analytics import Client  # noqa: PLC0415

        return Client(write_key, host=url)
    if sdk == "segment-analytics-python":
        from segment.analytics import Client as SegmentClient  # noqa: PLC0415

        return SegmentClient(write_key, host=url)
    import rudderstack.analytics as rudder  # noqa: PLC0415
    from rudderstack.analytics.client import Client as RudderClient  # noqa: PLC0415

    rudder.write_key = write_key
    return RudderClient(write_key, host=url)


def main(sdk: str, url: str, write_key: str) -> None:
    sender = client(sdk, url, write_key)
    both = {"user_id": USER, "anonymous_id": "anon-1"}
    sender.identify(traits=TRAITS, **both)
    sender.track(event="Order Completed", properties={"revenue": 39.95, "big": 2**53 + 1}, **both)
    sender.page(name="Docs", properties={"url": "https://example.com/docs"}, **both)
    sender.screen(name="Home", properties={"tab": 1}, **both)
    sender.group(group_id="acme", traits={"name": "Acme", "employees": 42}, **both)
    sender.alias(previous_id="anon-1", user_id=USER)
    sender.flush()
    sender.join()


if __name__ == "__main__":
    main(*sys.argv[1:4])
