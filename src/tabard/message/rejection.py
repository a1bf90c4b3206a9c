"""The closed set of reasons for which a call is refused (wire.md §1.12). `collector/respond.py` gives each its
status.
"""

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Why the door refused. The value is the `code` of the answer and of the kept rejection."""

    # the whole request
    BODY_TOO_LARGE = "body_too_large"
    BATCH_TOO_LARGE = "batch_too_large"
    TOO_MANY_ITEMS = "too_many_items"
    BAD_ENCODING = "bad_encoding"
    BAD_REQUEST = "bad_request"
    INVALID_JSON = "invalid_json"
    NOT_OBJECT = "not_object"
    BATCH_NOT_ARRAY = "batch_not_array"
    NO_WRITE_KEY = "no_write_key"
    UNKNOWN_SOURCE = "unknown_source"
    KEY_ROTATED = "key_rotated"
    SOURCE_DISABLED = "source_disabled"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    TOO_MANY_REQUESTS = "too_many_requests"
    # one item
    MESSAGE_TOO_LARGE = "message_too_large"
    TOO_DEEP = "too_deep"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    INVALID_UTF8 = "invalid_utf8"
    TYPE_MISSING = "type_missing"
    TYPE_UNKNOWN = "type_unknown"
    NO_USER_ANON_ID = "no_user_anon_id"
    ID_NOT_STRING = "id_not_string"
    EVENT_NOT_DEFINED = "event_not_defined"
    EVENT_NOT_STRING = "event_not_string"
    TRAITS_NOT_OBJECT = "traits_not_object"
    PROPERTIES_NOT_OBJECT = "properties_not_object"
    CONTEXT_NOT_OBJECT = "context_not_object"
    INTEGRATIONS_NOT_OBJECT = "integrations_not_object"
    NAME_NOT_STRING = "name_not_string"
    CATEGORY_NOT_STRING = "category_not_string"
    GROUP_ID_MISSING = "group_id_missing"
    PREVIOUS_ID_MISSING = "previous_id_missing"
    USER_ID_MISSING = "user_id_missing"
    TIMESTAMP_INVALID = "timestamp_invalid"
    MESSAGE_ID_TOO_LONG = "message_id_too_long"


class Rejection(msgspec.Struct, frozen=True):
    """One refusal: its reason, a sentence that names the field and the fix, and the item's index in its batch (None
    = the request).
    """

    reason: Reason
    message: str
    field: str = ""
    index: int | None = None
