"""A load generator that costs little beside what it drives: one thread, epoll, requests prepared beforehand.

Its own CPU is reported apart. `closed` sends the next request of a connection when the last is answered; `paced` sends
at fixed times whatever the answers do, so that a slow server cannot slow the question (no coordinated omission).
"""

import select
import socket
import time
from dataclasses import dataclass, field

_RECEIVE_BYTES = 65_536


@dataclass
class Result:
    """What one run saw. Times in seconds, `latencies` sorted."""

    requests: int = 0
    failed: int = 0
    elapsed_s: float = 0.0
    generator_cpu_s: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return self.requests / self.elapsed_s

    def percentile_ms(self, share: float) -> float:
        """The latency below which that share of the requests stayed."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000


def drive(
    address: tuple[str, int], requests: list[bytes], *, connections: int, duration_s: float, rate: float = 0
) -> Result:
    """Sends the requests in turn over keep-alive connections; `rate` 0 is closed, else requests a second in all."""
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(connections):
        one = socket.create_connection(address)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setblocking(False)
        sockets[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLIN)
    try:
        return (_paced if rate else _closed)(poll, sockets, requests, duration_s, rate)
    finally:
        poll.close()
        for one in sockets.values():
            one.close()


def _closed(
    poll: select.epoll, sockets: dict[int, socket.socket], requests: list[bytes], duration_s: float, _rate: float
) -> Result:
    result, sent_at, number = Result(), {}, 0
    cpu, begin = time.process_time(), time.perf_counter()
    end = begin + duration_s
    for fileno, one in sockets.items():
        sent_at[fileno] = time.perf_counter()
        _send(one, requests[number % len(requests)])
        number += 1
    waiting = len(sockets)
    while waiting:
        for fileno, _ in poll.poll(5):
            if not _answered(result, sockets[fileno], sent_at[fileno]):
                continue
            now = time.perf_counter()
            if now >= end:
                waiting -= 1
                poll.unregister(fileno)
                continue
            sent_at[fileno] = now
            _send(sockets[fileno], requests[number % len(requests)])
            number += 1
    return _finished(result, begin, cpu)


def _paced(
    poll: select.epoll, sockets: dict[int, socket.socket], requests: list[bytes], duration_s: float, rate: float
) -> Result:
    result, due_of, number = Result(), {}, 0
    cpu, begin = time.process_time(), time.perf_counter()
    free, total = list(sockets), int(duration_s * rate)
    while result.requests < total:
        now = time.perf_counter()
        while number < total and free and begin + number / rate <= now:
            fileno = free.pop()
            due_of[fileno] = begin + number / rate
            _send(sockets[fileno], requests[number % len(requests)])
            number += 1
        wait_s = begin + number / rate - now if number < total and free else 1
        for fileno, _ in poll.poll(max(0.0, min(1.0, wait_s))):
            if _answered(result, sockets[fileno], due_of[fileno]):
                free.append(fileno)
    return _finished(result, begin, cpu)


def _send(one: socket.socket, request: bytes) -> None:
    sent = one.send(request)
    if sent < len(request):
        one.setblocking(True)
        one.sendall(request[sent:])
        one.setblocking(False)


def _answered(result: Result, one: socket.socket, asked_at: float) -> bool:
    """Whether the whole answer is there; a server may write head and body apart."""
    answer = one.recv(_RECEIVE_BYTES)
    if answer.startswith(b"HTTP/1.1 ") and not answer.startswith(b"HTTP/1.1 200"):
        result.failed += 1
    if answer and not answer.endswith(b"}"):
        return False
    result.requests += 1
    result.latencies.append(time.perf_counter() - asked_at)
    return True


def _finished(result: Result, begin: float, cpu: float) -> Result:
    result.elapsed_s = time.perf_counter() - begin
    result.generator_cpu_s = time.process_time() - cpu
    result.latencies.sort()
    return result
