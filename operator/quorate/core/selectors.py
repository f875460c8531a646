"""Label selectors, node affinity, taints: the scheduler's filters that setting `nodeName` bypasses.

Semantics are those of Kubernetes 1.34 (`labels.Selector`, `nodeaffinity`, `v1helper.TolerationsTolerateTaint`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """`key operator values`; operators In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return self._compares(value)
        return False

    def _compares(self, value: str | None) -> bool:
        try:
            ours, bound = int(value or ""), int(self.values[0])
        except (ValueError, IndexError):
            return False
        return ours > bound if self.operator == "Gt" else ours < bound

    def __str__(self) -> str:
        match self.operator:
            case "In" if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case "Gt" | "Lt":
                return f"{self.key} {'>' if self.operator == 'Gt' else '<'} {', '.join(self.values)}"
        return f"{self.key} {'in' if self.operator == 'In' else 'notin'} ({', '.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ", ".join(str(requirement) for requirement in self.requirements) or "everything"


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One term of a required node affinity: all of its expressions on labels and on fields (metadata.name)."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str], name: str) -> bool:
        if not self.labels and not self.fields:  # an empty term selects nothing, as in Kubernetes
            return False
        return all(r.matches(labels) for r in self.labels) and all(
            r.matches({"metadata.name": name}) for r in self.fields
        )

    def __str__(self) -> str:
        return ", ".join(str(requirement) for requirement in (*self.labels, *self.fields)) or "nothing"


@dataclass(frozen=True, slots=True, order=True)
class Taint:
    key: str
    effect: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.key}{'=' + self.value if self.value else ''}:{self.effect}"


@dataclass(frozen=True, slots=True, order=True)
class Toleration:
    """An empty key with `Exists` tolerates every taint; an empty effect every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == taint.value


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> Taint | None:
    """The first taint that keeps a new pod away: NoSchedule or NoExecute, and not tolerated."""
    for taint in taints:
        if taint.effect in {"NoSchedule", "NoExecute"} and not any(t.tolerates(taint) for t in tolerations):
            return taint
    return None
