"""Why a delivery did not succeed: a closed set of errors, and the class decides what happens next.

| error                  | meaning                                    | what delivery does                |
| ---------------------- | ------------------------------------------ | --------------------------------- |
| `Filtered`             | not meant for this destination             | counted as filtered, nothing more |
| `PayloadInvalid`       | the mapped payload cannot be sent          | dead letter with field and reason |
| `Rejected`             | the vendor refused the item for good       | dead letter                       |
| `AuthenticationFailed` | the credentials are refused                | pauses the destination            |
| `Retryable`            | not now: busy, rate limited, a conflict    | tried again later                 |
| `Unreachable`          | no answer at all                           | tried again later                 |
| `HttpError`            | an answer outside 2xx                      | judged by its status              |

An action raises these and nothing else; any other exception is a defect of the action, recorded as one.
"""

from tabard.destinations.kit.request import HttpResponse

EXCERPT_BYTES = 2_000
SUCCESS = range(200, 300)


class DestinationError(Exception):
    """The base of the closed set above. `reason` is a sentence for the operator and carries no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Filtered(DestinationError):
    """The destination leaves this message out on purpose (an anonymous identify at Journeys, say)."""


class PayloadInvalid(DestinationError):
    """The payload cannot be sent. `field` is a path such as `products[0].price`, '' for the whole payload."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


class Rejected(DestinationError):
    """The vendor refused this item for good. `status` is the item's own, or that of the answer."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class AuthenticationFailed(DestinationError):
    """The vendor does not accept the credentials in the settings."""


class Retryable(DestinationError):
    """The item may succeed later. `retry_after_s` is the vendor's own wish, None where it named none."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Unreachable(DestinationError):
    """No answer came: name not found, connection refused or reset, timeout. Raised by `Send` alone."""


class HttpError(DestinationError):
    """An answer outside 2xx.

    retry_after: the Retry-After header as it came (seconds or a date: whoever has a clock reads it), or None.
    excerpt: the first `EXCERPT_BYTES` of the body as text.
    """

    def __init__(self, status: int, retry_after: str | None, excerpt: str) -> None:
        super().__init__(f"answered {status}: {excerpt}" if excerpt else f"answered {status}")
        self.status = status
        self.retry_after = retry_after
        self.excerpt = excerpt


def raise_for_status(response: HttpResponse) -> None:
    """Nothing for a 2xx answer; otherwise raises `HttpError` made from it."""
    if response.status in SUCCESS:
        return
    excerpt = response.body[:EXCERPT_BYTES].decode("utf-8", errors="replace")
    raise HttpError(response.status, response.headers.get("retry-after"), excerpt)
