"""What people ask of workloads on the command line: to protect one, and to say why others' verbs are not for it."""

from typing import TYPE_CHECKING, Any

from quorate.access.errors import CliError, NotFoundError, UsageError
from quorate.core.types import GuestKey
from quorate.core.workloads import WorkloadKind
from quorate.kube.resources import DEPLOYMENTS, STATEFUL_SETS

if TYPE_CHECKING:
    from quorate.access.client import Api


def wanted(text: str, selector: str | None) -> dict[str, Any] | None:
    """`spec.guest.workload` of what was named (`sts/db`), or of --selector; None for a container. Raises UsageError."""
    from quorate.access.names import machine, workload

    meant = workload(text)
    if selector is not None:
        if meant is not None or machine(text) is not None:
            raise UsageError(f"{text}: it is named already, and --selector means every StatefulSet with these labels")
        return {"kind": str(WorkloadKind.STATEFUL_SET), "selector": {"matchLabels": _labels(selector)}}
    return {"kind": str(meant[0]), "name": meant[1]} if meant is not None else None


def _labels(text: str) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise UsageError(f"--selector: {part!r} is not KEY=VALUE. Write for example tier=gold,team=shop")
        found[key.strip()] = value.strip()
    return found


def missing(api: "Api", key: GuestKey, target: dict[str, Any]) -> str:
    """That what is to be protected is not there (yet); empty: it is, or by labels."""
    if "name" not in target:
        return ""
    resource = DEPLOYMENTS if target["kind"] == WorkloadKind.DEPLOYMENT else STATEFUL_SETS
    try:
        api.get(resource.path(target["name"], key.namespace))
    except NotFoundError:
        return f"there is no {target['kind']} {target['name']} in namespace {key.namespace} yet"
    except CliError:
        return ""  # whoever may not look at it leaves that to the manager
    return ""
