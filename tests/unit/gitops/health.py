"""What others make of our objects: kstatus by its published rules, and Argo CD by the script that we give it."""

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from lupa import lua51

Raw = dict[str, Any]
ROOT: Final = Path(__file__).parents[3]
CONFIG: Final = yaml.safe_load((ROOT / "manifests" / "argocd" / "argocd-cm.yaml").read_text())
KEY: Final = "resource.customizations.health.quorate.dev_"


def kstatus(obj: Raw) -> str:
    """The status that kstatus computes for a custom resource (sigs.k8s.io/cli-utils/pkg/kstatus, its README).

    Deleted: Terminating. A generation that was not observed: InProgress. Then the first of the conditions Reconciling and
    Stalled that is True decides, then Ready if there is one. An object that says nothing of all that is Current.
    """
    metadata, status = obj["metadata"], obj.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata["generation"]:
        return "InProgress"
    conditions = status.get("conditions") or []
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] in {"Reconciling", "Stalled"}:
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    ready = next((condition["status"] for condition in conditions if condition["type"] == "Ready"), "True")
    return "Current" if ready == "True" else "InProgress"


def argo(obj: Raw) -> tuple[str, str]:
    """Argo CD's health and message, by the script that its ConfigMap gets, in the Lua (5.1) that it runs."""
    found = _script(obj["kind"])(_runtime().table_from(obj, recursive=True))
    return found["status"], found["message"]


@cache
def _runtime() -> Any:
    return lua51.LuaRuntime()


@cache
def _script(kind: str) -> Any:
    return _runtime().eval(f"function(obj) {CONFIG['data'][KEY + kind]} end")
