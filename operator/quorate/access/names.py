"""How people name things: guests (`web`, `shop/web`, `ct:shop/web`, `vm/win`, `web -n shop`), and the Cluster that may be
left out.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quorate.access.errors import CliError, UsageError
from quorate.core.types import GuestKey, MachineKey
from quorate.core.workloads import WorkloadKind

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


WORKLOADS: Final = {
    "sts": WorkloadKind.STATEFUL_SET,
    "statefulset": WorkloadKind.STATEFUL_SET,
    "deploy": WorkloadKind.DEPLOYMENT,
    "deployment": WorkloadKind.DEPLOYMENT,
}
"""How kubectl calls what may be protected, before a slash."""
MACHINES: Final = frozenset({"vm", "vms", "virtualmachine", "virtualmachines"})
"""And a virtual machine."""


def workload(text: str) -> tuple[WorkloadKind, str] | None:
    """`sts/db` and the like: the kind and the name; None for anything else."""
    kind, slash, name = text.partition("/")
    return (WORKLOADS[kind], name) if slash and kind in WORKLOADS else None


def machine(text: str) -> str | None:
    """`vm/win` and the like, and `vm:shop/win`: the name; None for anything else."""
    if text.startswith("vm:"):
        return text.rpartition("/")[2].removeprefix("vm:")
    kind, slash, name = text.partition("/")
    return name if slash and kind in MACHINES else None


def guest_key(text: str, namespace: str | None, default_namespace: str) -> GuestKey:
    """The guest that was meant. Raises UsageError."""
    kind, colon, rest = text.rpartition(":")
    if colon and kind not in {"ct", "vm", "wl"}:
        raise UsageError(
            f"guest {text!r}: its kind is {kind!r}, and there are ct (a container), vm (a virtual machine) and wl (a "
            f"workload). Write ct:{rest}"
        )
    named = None if colon else machine(rest)
    meant = workload(rest) if not colon else None
    place, slash, name = rest.rpartition("/")
    if meant is not None or named is not None:
        place, slash, name = "", "", meant[1] if meant is not None else str(named)
    if slash and namespace is not None and namespace != place:
        raise UsageError(f"guest {text!r} is in namespace {place!r}, and -n says {namespace!r}. Name only one of them")
    known = MachineKey if kind == "vm" or named is not None else GuestKey
    key = known(place if slash else namespace or default_namespace, name)
    for part, what in ((key.namespace, "namespace"), (key.name, "name")):
        if not NAME.fullmatch(part):
            raise UsageError(
                f"guest {text!r}: its {what} is {part!r}. Write NAME, NAMESPACE/NAME or ct:NAMESPACE/NAME in small "
                "letters, digits and -, at most 63 each"
            )
    return key


def nearest(text: str, known: Sequence[str]) -> str:
    """A question that names the one that was probably meant, empty when none is like it."""
    tails = {one.rpartition("/")[2]: one for one in known} | {one: one for one in known}
    found = difflib.get_close_matches(text.rpartition("/")[2], list(tails), 1) or difflib.get_close_matches(
        text, list(tails), 1
    )
    return f". Did you mean {tails[found[0]]}?" if found else ""


def the_cluster(clusters: Sequence[Mapping[str, Any]], wanted: str | None) -> Mapping[str, Any]:
    """The Cluster that was named, or the only one there is. Raises CliError."""
    names = sorted(str(one["metadata"]["name"]) for one in clusters)
    known = ", ".join(names)
    if not names:
        raise CliError("there is no Cluster. Make one: quorate cluster create NAME")
    if wanted is None:
        if len(names) > 1:
            raise UsageError(f"there are several Clusters ({known}). Name one of them with --cluster")
        return clusters[0]
    for one in clusters:
        if one["metadata"]["name"] == wanted:
            return one
    raise CliError(f"no Cluster is named {wanted!r} (known: {known})")
