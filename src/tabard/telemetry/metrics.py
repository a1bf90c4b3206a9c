"""The metrics of `names.METRICS` as Prometheus objects, shared by all processes of an installation.

With `PROMETHEUS_MULTIPROC_DIR` set before import (compose does it), every role's numbers are in one `/metrics` answer.
"""

from prometheus_client import Counter, Gauge, Histogram

from tabard.telemetry.names import METRICS, MetricKind


def _build() -> tuple[dict[str, Counter], dict[str, Gauge], dict[str, Histogram]]:
    counters: dict[str, Counter] = {}
    gauges: dict[str, Gauge] = {}
    histograms: dict[str, Histogram] = {}
    for metric in METRICS:
        if metric.kind is MetricKind.COUNTER:
            counters[metric.name] = Counter(metric.name, metric.help, metric.labels)
        elif metric.kind is MetricKind.GAUGE:
            gauges[metric.name] = Gauge(metric.name, metric.help, metric.labels, multiprocess_mode="mostrecent")
        else:
            histograms[metric.name] = Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets)
    return counters, gauges, histograms


_counters, _gauges, _histograms = _build()


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Adds to a counter that `names.METRICS` declares. Raises KeyError for a name it does not."""
    counter = _counters[name]
    (counter.labels(**labels) if labels else counter).inc(amount)


def gauge(name: str, value: float, **labels: str) -> None:
    """Sets a declared gauge."""
    target = _gauges[name]
    (target.labels(**labels) if labels else target).set(value)


def observe(name: str, value: float, **labels: str) -> None:
    """Adds one observation to a declared histogram."""
    target = _histograms[name]
    (target.labels(**labels) if labels else target).observe(value)
