"""The metrics of `names.METRICS` as Prometheus objects; `share` joins the numbers of all roles of an installation."""

import os
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess, values

from tabard.telemetry.names import METRICS, Metric, MetricKind

_DECLARED: Final = {metric.name: metric for metric in METRICS}
_registry = CollectorRegistry()
_shared: Path | None = None

_NUMBERS_BYTES: Final = 256 * 1024
"""Room for some 1,500 numbers of a kind; a role with more grows its file."""

_made: dict[str, Any] = {}
_labelled: dict[tuple[Any, ...], Any] = {}


def share(folder: Path, role: str) -> None:
    """Keeps this process's numbers in `folder`, under the role's name, so that a restarted role counts on.

    To be called before the first number. The name must hold no underscore.
    """
    global _shared  # noqa: PLW0603 (one process, one place for its numbers)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for kind in ("counter", "gauge_mostrecent", "histogram"):
        _reserve(folder / f"{kind}_{role}.db")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: role)  # type: ignore[no-untyped-call]
    _shared = folder


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Adds to a counter that `names.METRICS` declares. Raises KeyError for a name it does not."""
    _metric(name, labels).inc(amount)


def gauge(name: str, value: float, **labels: str) -> None:
    """Sets a declared gauge."""
    _metric(name, labels).set(value)


def observe(name: str, value: float, **labels: str) -> None:
    """Adds one observation to a declared histogram."""
    _metric(name, labels).observe(value)


def exposition(folder: Path | None = None) -> bytes:
    """All numbers in the Prometheus text format (0.0.4).

    Those of every role that shares `folder` (default: the folder this process shares), else of this process alone.
    """
    folder = folder or _shared
    if folder is None:
        return generate_latest(_registry)
    joined = CollectorRegistry()
    multiprocess.MultiProcessCollector(joined, path=str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(joined)


def _reserve(path: Path) -> None:
    """Gives a file its blocks: numbers are written through a memory map, and on a full disk a hole there is SIGBUS."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _NUMBERS_BYTES)
    finally:
        os.close(descriptor)


def _metric(name: str, labels: dict[str, str]) -> Any:
    key = (name, *labels.items())
    found = _labelled.get(key)
    if found is None:
        metric = _made.get(name)
        if metric is None:
            metric = _made[name] = _make(_DECLARED[name])
        found = _labelled[key] = metric.labels(**labels) if labels else metric
    return found


def _make(metric: Metric) -> Counter | Gauge | Histogram:
    if metric.kind is MetricKind.COUNTER:
        return Counter(metric.name, metric.help, metric.labels, registry=_registry)
    if metric.kind is MetricKind.GAUGE:
        return Gauge(metric.name, metric.help, metric.labels, registry=_registry, multiprocess_mode="mostrecent")
    return Histogram(metric.name, metric.help, metric.labels, registry=_registry, buckets=metric.buckets)
