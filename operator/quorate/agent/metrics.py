"""The agent's metrics, written out from the loop's plain numbers when somebody asks (docs/metrics.md).

That happens in the thread that answers; the loop knows nothing of it. By hand, in Prometheus' text format: its library
would cost each node 1.3 MiB for eight metrics.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate

from quorate import __version__
from quorate.agent.loop import Loop
from quorate.agent.tally import BUCKETS_S, Tally


def exposition(loop: Loop) -> Callable[[], bytes]:
    """What `/metrics` answers, made anew with each call. A number that changes meanwhile is from before or after."""
    return lambda: "".join(f"{line}\n" for line in _lines(loop)).encode()


def _lines(loop: Loop) -> Iterator[str]:
    tally, device, last_s = loop.tally, loop.device, loop.tally.last_renewal_s
    yield from _head("build_info", "gauge", "Version of this agent.")
    yield _sample("build_info", 1, node=loop.lease.node, version=__version__)
    yield from _head("armed", "gauge", "Is the watchdog armed by this agent?")
    yield _sample("armed", int(device.open))
    yield from _head("watchdog_timeout_seconds", "gauge", "Time-out of the armed watchdog, 0 while it is not armed.")
    yield _sample("watchdog_timeout_seconds", device.timeout_s if device.open else 0)
    yield from _head("guests", "gauge", "Guests with a process on this node.")
    yield _sample("guests", tally.guests)
    yield from _head("last_renewal_age_seconds", "gauge", "Time since the last confirmed renewal was sent.")
    if last_s is not None:
        yield _sample("last_renewal_age_seconds", loop.clock() - last_s)
    yield from _head("renewals_total", "counter", "Renewals of the node's Lease.")
    for outcome, count in tally.outcomes.items():
        yield _sample("renewals_total", count, outcome=outcome)
    yield from _durations(tally)
    text = "Renewals confirmed too late to pet, and pets more than r + d after the one before."
    yield from _head("late_pets_total", "counter", text)
    yield _sample("late_pets_total", tally.late_pets)


def _durations(tally: Tally) -> Iterator[str]:
    name = "renewal_duration_seconds"
    yield from _head(name, "histogram", "How long confirmed renewals took.")
    counts = list(accumulate(tally.durations))
    for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], counts, strict=True):
        yield _sample(f"{name}_bucket", count, le=bound)
    yield _sample(f"{name}_sum", tally.duration_sum_s)
    yield _sample(f"{name}_count", counts[-1])


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP quorate_agent_{name} {text}"
    yield f"# TYPE quorate_agent_{name} {kind}"


def _sample(name: str, value: float, **labels: str) -> str:
    """A series. Our labels need no escaping: names of nodes, versions, numbers, outcomes."""
    inner = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"quorate_agent_{name}{'{' + inner + '}' if inner else ''} {value}"
