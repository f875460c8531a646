"""Stand-ins for what kube-controller-manager and the scheduler do with StatefulSets and volumes, as pure functions.

Of a StatefulSet's Pods the one of the lowest ordinal that is missing is made, with a node, once the Pod of that name is
gone; its claims are bound to volumes that any node can attach, one at a time. A volume is detached from a node where no Pod
uses it any more, unless that node may still be writing: then it takes the taint out-of-service. The simulator and the lab
carry out what is said here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quorate.core.selectors import Taint, Toleration, untolerated
from quorate.core.types import OUT_OF_SERVICE_TAINT

Json = dict[str, Any]
DRIVER: Final = "lab.quorate.dev"


@dataclass(frozen=True, slots=True)
class Seen:
    """All objects that the stand-ins look at."""

    sets: Sequence[Json]
    pods: Sequence[Json]
    nodes: Sequence[Json]
    claims: Sequence[Json]
    attachments: Sequence[Json]


@dataclass(frozen=True, slots=True)
class Step:
    """One call: `verb` is create, delete or attach (the status of an attachment)."""

    verb: str
    kind: str
    namespace: str
    name: str
    body: Json


def steps(seen: Seen) -> list[Step]:
    """What is to be done now; it is asked again after that."""
    found: list[Step] = []
    load = {node["metadata"]["name"]: 0 for node in seen.nodes}
    for pod in seen.pods:
        node = pod["spec"].get("nodeName")
        if node in load:
            load[node] += 1
    for one in seen.sets:
        if "deletionTimestamp" not in one["metadata"]:
            found.extend(_stateful_set(one, seen, load))
    return [*found, *_volumes(seen)]


def _stateful_set(one: Json, seen: Seen, load: dict[str, int]) -> Iterable[Step]:
    namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
    replicas = one["spec"].get("replicas", 1)
    pods = {
        pod["metadata"]["name"]: pod
        for pod in seen.pods
        if pod["metadata"]["namespace"] == namespace and _owned(pod, one["metadata"]["uid"])
    }
    for pod_name in sorted(pods, key=_ordinal, reverse=True):
        pod = pods[pod_name]
        over = (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}
        if "deletionTimestamp" not in pod["metadata"] and (over or _ordinal(pod_name) >= replicas):
            yield Step("delete", "Pod", namespace, pod_name, pod)
            return
    taken = {pod["metadata"]["name"] for pod in seen.pods if pod["metadata"]["namespace"] == namespace}
    for number in range(replicas):
        pod_name = f"{name}-{number}"
        if pod_name not in pods and pod_name not in taken:
            node = place(one, seen.nodes, load)
            if node is None:
                return
            load[node] += 1
            known = {claim["metadata"]["name"] for claim in seen.claims if claim["metadata"]["namespace"] == namespace}
            for wanted in claims_of(one, pod_name):
                if wanted["metadata"]["name"] not in known:
                    yield Step("create", "PersistentVolumeClaim", namespace, wanted["metadata"]["name"], wanted)
            yield Step("create", "Pod", namespace, pod_name, pod_of(one, pod_name, node))
            if one["spec"].get("podManagementPolicy") != "Parallel":
                return
        elif one["spec"].get("podManagementPolicy") != "Parallel" and not _stands(pods.get(pod_name)):
            return


def _stands(pod: Json | None) -> bool:
    """Is it Ready and to stay? Only then is the next one looked at."""
    conditions = ((pod or {}).get("status") or {}).get("conditions") or []
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return pod is not None and ready and "deletionTimestamp" not in pod["metadata"]


def _owned(pod: Json, uid: str) -> bool:
    return any(one.get("uid") == uid for one in pod["metadata"].get("ownerReferences") or [])


def _ordinal(name: str) -> int:
    text = name.rpartition("-")[2]
    return int(text) if text.isdigit() else 0


def place(one: Json, nodes: Iterable[Json], load: Mapping[str, int]) -> str | None:
    """The emptiest node that is Ready and whose taints its Pods tolerate."""
    spec = one["spec"]["template"]["spec"]
    tolerations = [
        Toleration(t.get("key", ""), t.get("operator", "Equal"), t.get("value", ""), t.get("effect", ""))
        for t in spec.get("tolerations") or []
    ]
    wanted = (spec.get("nodeSelector") or {}).items()
    fit = [
        node["metadata"]["name"]
        for node in nodes
        if is_ready(node)
        and not node["spec"].get("unschedulable")
        and wanted <= (node["metadata"].get("labels") or {}).items()
        and untolerated(taints_of(node), tolerations) is None
    ]
    return min(fit, key=lambda name: (load.get(name, 0), name), default=None)


def is_ready(node: Json) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def taints_of(node: Json) -> list[Taint]:
    return [
        Taint(one["key"], one.get("effect", ""), one.get("value") or "")
        for one in (node.get("spec") or {}).get("taints") or []
    ]


def claims_of(one: Json, pod_name: str) -> list[Json]:
    """The claims of one Pod, bound at once to volumes of the same name."""
    namespace = one["metadata"]["namespace"]
    found = []
    for template in one["spec"].get("volumeClaimTemplates") or []:
        name = f"{template['metadata']['name']}-{pod_name}"
        spec = template.get("spec") or {}
        found.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {**spec, "volumeName": f"pv-{namespace}-{name}"},
            }
        )
    return found


def pod_of(one: Json, pod_name: str, node: str) -> Json:
    """The Pod of one ordinal, with its node."""
    template, meta = one["spec"]["template"], one["metadata"]
    spec = {"restartPolicy": "Always", **template["spec"], "nodeName": node, "hostname": pod_name}
    volumes = [
        {
            "name": claim["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": f"{claim['metadata']['name']}-{pod_name}"},
        }
        for claim in one["spec"].get("volumeClaimTemplates") or []
    ]
    if volumes:
        spec["volumes"] = [*(spec.get("volumes") or []), *volumes]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = (template.get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name,
            "namespace": meta["namespace"],
            "labels": {**labels, "statefulset.kubernetes.io/pod-name": pod_name},
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


# -- volumes ------------------------------------------------------------------------------------------------------------


def _volumes(seen: Seen) -> Iterable[Step]:
    """Detach what nobody uses, attach what a Pod needs on its node; a volume is attached to one node at a time."""
    volumes = {
        (claim["metadata"]["namespace"], claim["metadata"]["name"]): claim["spec"].get("volumeName", "")
        for claim in seen.claims
    }
    used: dict[str, set[str]] = {}
    for pod in seen.pods:
        for claim in claims_in(pod):
            volume = volumes.get((pod["metadata"]["namespace"], claim))
            if volume and pod["spec"].get("nodeName"):
                used.setdefault(volume, set()).add(pod["spec"]["nodeName"])
    nodes = {node["metadata"]["name"]: node for node in seen.nodes}
    attached: dict[str, str] = {}
    for one in seen.attachments:
        volume, node = one["spec"]["source"]["persistentVolumeName"], one["spec"]["nodeName"]
        attached[volume] = node
        if node not in used.get(volume, set()):
            if _lets_go(nodes.get(node)):
                yield Step("delete", "VolumeAttachment", "", one["metadata"]["name"], one)
        elif not (one.get("status") or {}).get("attached"):
            yield Step("attach", "VolumeAttachment", "", one["metadata"]["name"], one)
    for volume, where in used.items():
        if volume not in attached:
            yield Step("create", "VolumeAttachment", "", f"csi-{volume}", _attachment(volume, min(where)))


def claims_in(pod: Json) -> list[str]:
    """The names of the claims that a Pod mounts."""
    volumes = pod["spec"].get("volumes") or []
    return [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]


def _lets_go(node: Json | None) -> bool:
    """Is it certain that the node does not write any more? (Kubernetes waits six minutes otherwise: here for ever.)"""
    return node is None or is_ready(node) or any(taint.key == OUT_OF_SERVICE_TAINT for taint in taints_of(node))


def _attachment(volume: str, node: str) -> Json:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": f"csi-{volume}"},
        "spec": {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": volume}},
    }
