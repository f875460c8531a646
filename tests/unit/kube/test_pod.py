"""A guest as a Pod: what we add to the user's template, and what we leave alone."""

import copy

import pytest

from quorate.core.selectors import Selector
from quorate.core.status import Instance
from quorate.core.storage import NfsExport, VolumeClass
from quorate.core.types import Content, InstanceId, Instant, NodeName, Nonce, StorageType, Uid
from quorate.core.world import StorageView
from quorate.kube.guests.pod import Gate, bind, claims_of, render, template_of

GATE = Gate("quorate/operator:1", 9471)
INSTANCE = Instance(InstanceId("i1"), NodeName("n1"), Nonce("b1"), "t1", Instant(0))
STORAGES = {
    "nfs": StorageView("nfs", Uid("s"), StorageType.CLAIM, claim=("shop", "data")),
    "ssd": StorageView("ssd", Uid("s"), StorageType.LOCAL, nodes=Selector(), path="/srv/ssd"),
}


def guest(**spec):
    pod = {"containers": [{"name": "web", "image": "nginx"}, {"name": "log", "image": "fluent"}], **spec}
    return {
        "metadata": {"name": "web", "namespace": "shop", "uid": "har"},
        "spec": {
            "guest": {"container": {"metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}}, "spec": pod}},
            "storage": [{"name": "nfs", "path": "/data"}, {"name": "ssd", "path": "/scratch"}],
        },
    }


def made(one=None, *, shared_kernel=False, scheduler=False):
    one = one or guest()
    pod = render(one, template_of(one), STORAGES, GATE, "prod")
    return bind(pod, INSTANCE, shared_kernel=shared_kernel, scheduler=scheduler)


def test_whose_it_is_and_which_start():
    metadata = made()["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("web", "shop")
    assert metadata["labels"] == {"app": "web", "quorate.dev/guest": "web", "quorate.dev/cluster": "prod"}
    assert metadata["annotations"] == {
        "a": "b",
        "quorate.dev/instance": "i1",
        "quorate.dev/node": "n1",
        "quorate.dev/boot-nonce": "b1",
        "quorate.dev/template-hash": "t1",
    }
    assert metadata["finalizers"] == ["quorate.dev/instance"]
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("HAResource", "har", True)


def test_nobody_else_decides():
    spec = made()["spec"]
    assert (spec["nodeName"], spec["restartPolicy"]) == ("n1", "Never")
    keys = {one["key"] for one in spec["tolerations"] if "tolerationSeconds" not in one}
    assert keys == {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}


@pytest.mark.parametrize("shared", [True, False])
def test_the_gate_comes_first_and_knows_the_boot(shared):
    spec = made(guest(initContainers=[{"name": "own", "image": "i"}]), shared_kernel=shared)["spec"]
    gate, own = spec["initContainers"]
    assert (gate["image"], gate["command"]) == ("quorate/operator:1", ["python3", "-m", "quorate.agent.gate"])
    environment = {one["name"]: one.get("value") for one in gate["env"]}
    assert environment["QUORATE_NONCE"] == "b1"
    assert environment["QUORATE_SHARED_KERNEL"] == ("yes" if shared else "no")
    assert own["name"] == "own"
    security = gate["securityContext"]
    assert security["runAsNonRoot"]
    assert not security["allowPrivilegeEscalation"]


def test_storages_are_mounted_into_every_container_of_the_users():
    spec = made()["spec"]
    assert spec["volumes"] == [
        {"name": "quorate-storage-0", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "quorate-storage-1", "hostPath": {"path": "/srv/ssd", "type": "Directory"}},
    ]
    for one in spec["containers"]:
        assert [mount["mountPath"] for mount in one["volumeMounts"]] == ["/data", "/scratch"]
    assert "volumeMounts" not in spec["initContainers"][0]


def test_last_words_are_kept():
    assert made()["spec"]["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError"
    own = guest()
    own["spec"]["guest"]["container"]["spec"]["containers"][0]["terminationMessagePolicy"] = "File"
    assert made(own)["spec"]["containers"][0]["terminationMessagePolicy"] == "File"


def test_an_unbound_claim_is_bound_by_the_scheduler_where_the_guest_goes():
    spec = made(scheduler=True)["spec"]
    assert "nodeName" not in spec
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required == {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
    }


def test_and_what_the_template_requires_is_kept():
    terms = [
        {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "b", "operator": "Exists"}]},
    ]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    spec = made(guest(affinity=affinity), scheduler=True)["spec"]
    pinned = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [set(term) for term in pinned] == [{"matchExpressions", "matchFields"}] * 2


def test_claims_are_found_wherever_they_come_from():
    own = guest(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "mine"}}, {"name": "e", "emptyDir": {}}])
    assert claims_of(made(own)) == ["mine", "data"]


def test_the_users_object_is_not_changed():
    one = guest()
    before = copy.deepcopy(one)
    made(one)
    assert one == before


def mounting(storage):
    one = guest()
    one["spec"]["storage"] = [{"name": storage.name, "path": "/data"}]
    spec = render(one, template_of(one), {storage.name: storage}, GATE, "prod")["spec"]
    (volume,) = spec["volumes"]
    return volume, [mount for container in spec["containers"] for mount in container["volumeMounts"]]


def test_an_nfs_storage_is_its_claim_in_the_namespace():
    volume, mounts = mounting(StorageView("media", Uid("m"), StorageType.NFS, nfs=NfsExport("nas", "/x")))
    assert volume["persistentVolumeClaim"] == {"claimName": "quorate-media"}
    assert [("readOnly" in one, one["mountPath"]) for one in mounts] == [(False, "/data")] * 2


def test_a_class_is_a_claim_of_the_guests_own():
    of_class = VolumeClass("ssd", "8Gi", "ReadWriteOnce")
    volume, _ = mounting(StorageView("fast", Uid("f"), StorageType.STORAGE_CLASS, volume_class=of_class))
    assert volume["persistentVolumeClaim"]["claimName"].startswith("web-fast-")


def test_images_of_disks_to_install_from_are_mounted_read_only():
    content = (Content.IMAGES, Content.ISO)
    iso = StorageView("iso", Uid("i"), StorageType.NFS, nfs=NfsExport("nas", "/iso"), content=content)
    assert [one["readOnly"] for one in mounting(iso)[1]] == [True, True]
