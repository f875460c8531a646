"""Conditions in the form that kstatus, Argo CD and Flux read: one `Ready`, plus `Reconciling` and `Stalled`."""

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.core.quick import quick
from quorate.core.status import Condition
from quorate.core.types import Instant


def plural(number: int, noun: str) -> str:
    """1 guest, 2 guests."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some(names: Sequence[str], limit: int) -> str:
    """So many names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"


@quick
@dataclass(frozen=True, slots=True)
class Finding:
    """A condition without its bookkeeping."""

    type: str
    holds: bool
    reason: str
    message: str


def summary(*, ready: bool, reason: str, message: str, stalled: bool = False) -> tuple[Finding, ...]:
    """Ready, Reconciling, Stalled: ready as wished; else either somebody must act (stalled) or we are at it."""
    return (
        Finding("Ready", ready, reason, message),
        Finding("Reconciling", not ready and not stalled, reason, message),
        Finding("Stalled", stalled, reason, message),
    )


def merge(
    before: Sequence[Condition], findings: Sequence[Finding], *, now: Instant, generation: int
) -> tuple[Condition, ...]:
    """The conditions after these findings. The transition time moves only when the status does, in whole seconds."""
    old = {condition.type: condition for condition in before}
    second = Instant(now // 1000 * 1000)
    merged = []
    for finding in findings:
        status = "True" if finding.holds else "False"
        previous = old.get(finding.type)
        since = second
        if previous is not None and previous.status == status:
            since = previous.last_transition_time
            said = previous.message == finding.message and previous.reason == finding.reason
            if said and previous.observed_generation == generation:
                merged.append(previous)
                continue
        merged.append(Condition(finding.type, status, finding.reason, finding.message, since, generation))
    return tuple(merged)
