"""The agent's metrics, made from the loop's plain numbers when somebody asks (docs/metrics.md).

That happens in the thread that answers, with a registry of its own: the loop knows nothing of it.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate import __version__
from quorate.agent.loop import Loop
from quorate.agent.tally import BUCKETS_S, Tally


def exposition(loop: Loop) -> Callable[[], bytes]:
    """What `/metrics` answers, made anew with each call."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AgentCollector(loop))
    return lambda: generate_latest(registry)


class AgentCollector(Collector):
    """Reads the loop. A number that changes meanwhile is read before or after its change."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        loop, tally = self._loop, self._loop.tally
        device, last_s = loop.device, tally.last_renewal_s
        build = GaugeMetricFamily("quorate_agent_build_info", "Version of this agent.", labels=["node", "version"])
        build.add_metric([loop.lease.node, __version__], 1)
        yield build
        yield GaugeMetricFamily("quorate_agent_armed", "Is the watchdog armed by this agent?", device.open)
        yield GaugeMetricFamily(
            "quorate_agent_watchdog_timeout_seconds",
            "Time-out of the armed watchdog, 0 while it is not armed.",
            device.timeout_s if device.open else 0.0,
        )
        yield GaugeMetricFamily("quorate_agent_guests", "Guests with a process on this node.", tally.guests)
        age = GaugeMetricFamily(
            "quorate_agent_last_renewal_age_seconds", "Time since the last confirmed renewal was sent."
        )
        if last_s is not None:
            age.add_metric([], loop.clock() - last_s)
        yield age
        renewals = CounterMetricFamily("quorate_agent_renewals", "Renewals of the node's Lease.", labels=["outcome"])
        for outcome, count in tally.outcomes.items():
            renewals.add_metric([outcome], count)
        yield renewals
        yield _durations(tally)
        yield CounterMetricFamily(
            "quorate_agent_late_pets",
            "Renewals confirmed too late to pet, and pets more than r + d after the one before.",
            tally.late_pets,
        )


def _durations(tally: Tally) -> Metric:
    family = HistogramMetricFamily("quorate_agent_renewal_duration_seconds", "How long confirmed renewals took.")
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    buckets = list(zip(bounds, accumulate(tally.durations), strict=True))
    family.add_metric([], buckets, tally.duration_sum_s)
    return family
