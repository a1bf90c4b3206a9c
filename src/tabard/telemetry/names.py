"""Every event and metric of Tabard, once, with its help text; docs/telemetry.md is held against this list by a test."""

from enum import StrEnum
from typing import Final

import msgspec


class MetricKind(StrEnum):
    """The Prometheus kinds in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One metric: its Prometheus name (counters get `_total`), its help, its labels (few and bounded), buckets in
    seconds.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


_C, _G, _H = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

DOOR_METRICS: Final = (
    Metric("tabard_messages_received", _C, "Messages that reached the door, good or bad.", ("source",)),
    Metric("tabard_messages_accepted", _C, "Messages acknowledged after they were on disk.", ("source", "type")),
    Metric("tabard_messages_rejected", _C, "Messages refused at the door, by reason.", ("source", "reason")),
    Metric("tabard_requests_unavailable", _C, "Requests answered with 503, by cause.", ("code",)),
    Metric("tabard_collector_connections", _G, "Open connections of a collector.", ("partition",)),
)

LOG_METRICS: Final = (
    Metric("tabard_log_commit_seconds", _H, "Time of one durable commit of the log.", ("partition",)),
    Metric("tabard_log_wal_bytes", _G, "Size of the write-ahead log of the segment being written.", ("partition",)),
)

RESOLVER_METRICS: Final = (
    Metric("tabard_messages_stored", _C, "Messages resolved into the store.", ("source",)),
    Metric("tabard_messages_duplicate", _C, "Copies of messages that were already stored.", ("source",)),
    Metric("tabard_resolver_lag", _G, "Entries of a log partition that are not resolved yet.", ("partition",)),
    Metric("tabard_identify_unchanged_share", _G, "Share of identify calls that changed nothing.", ("source",)),
    Metric(
        "tabard_ignored",
        _G,
        "Controls, aliases, e-mail claims the source may not state.",
        ("source", "what"),
    ),
    Metric("tabard_projector_marks", _G, "Identifiers that wait to be brought to their profiles."),
)

DELIVERY_METRICS: Final = (
    Metric("tabard_deliveries", _C, "Deliveries ended, by destination and outcome.", ("destination", "outcome")),
    Metric("tabard_attempts_failed", _C, "Attempts that did not deliver, by cause.", ("destination", "code")),
    Metric("tabard_delivery_lag_seconds", _G, "Age of the message its cursor stands at.", ("destination",)),
    Metric("tabard_delivery_parked", _G, "Deliveries that wait for another attempt.", ("destination",)),
    Metric("tabard_erasures", _C, "Attempts to have deleted people erased.", ("destination", "outcome")),
    Metric("tabard_delivery_dead", _G, "Dead letters.", ("destination",)),
    Metric("tabard_delivery_paused", _G, "1 while paused, by an operator or its breaker.", ("destination",)),
    Metric("tabard_books_unbalanced", _C, "Self-checks that found books and rows apart.", ("destination",)),
)

METRICS: Final = DOOR_METRICS + LOG_METRICS + RESOLVER_METRICS + DELIVERY_METRICS
