"""Storages, and guests whose Cluster cannot be told."""

from dataclasses import replace

import pytest

from quorate.core.actions import SetFinalizer
from quorate.core.housekeeping import Household, resolve_cluster, tidy
from quorate.core.selectors import Requirement, Selector, Taint
from quorate.core.storage import NfsExport, Reach, VolumeClass
from quorate.core.types import NodeName, StorageType, Uid
from quorate.core.world import StorageView
from tests.unit.core.worlds import WALL, guest, node

CLAIM = StorageView("shared", Uid("s"), StorageType.CLAIM, claim=("default", "data"), resource_version="1")


def house(**changes):
    nodes = [node(name).kube for name in ("n1", "n2", "n3")]
    found = {"wall": WALL, "clusters": ("prod",), "storages": (), "guests": (), "kube_nodes": tuple(nodes)}
    return Household(**{**found, "claims": frozenset({("default", "data")}), **changes})


def written(made):
    return {write.ref.name: write.status for write in tidy(made).statuses}


def unassigned(**spec):
    one = guest(pod=None, spec=spec)
    return replace(one, status=type(one.status)())


@pytest.mark.parametrize(
    ("spec", "clusters", "expected"),
    [
        ({}, ("prod",), "prod"),
        ({"cluster_name": "lab"}, ("lab", "prod"), "lab"),
        ({}, (), None),
        ({}, ("lab", "prod"), None),
        ({"cluster_name": "tset"}, ("lab", "test"), None),
    ],
)
def test_which_cluster_a_guest_belongs_to(spec, clusters, expected):
    found, problem = resolve_cluster(unassigned(**spec), clusters)
    assert found == expected
    assert bool(problem) == (expected is None)


def test_once_told_it_stays():
    assert resolve_cluster(guest(spec={"cluster_name": "lab"}), ("lab", "prod"))[0] == "prod"


def test_a_guest_without_a_cluster_is_told_what_to_do():
    found = written(house(clusters=("lab", "test"), guests=(unassigned(cluster_name="tset"),)))["web"]
    assert (
        found.message
        == "spec.clusterName: no Cluster is named 'tset' (known: lab, test): name one of them or create it"
    )
    assert next(one.status for one in found.conditions if one.type == "Stalled") == "True"


def test_one_that_never_ran_can_be_deleted_all_the_same():
    orphan = replace(unassigned(), deleting=True)
    actions = tidy(house(clusters=(), guests=(orphan,))).actions
    assert actions == (SetFinalizer(orphan.key.ref, "quorate.dev/instance", present=False),)


def test_a_storage_says_where_it_is_and_who_uses_it():
    local = StorageView(
        "scratch",
        Uid("l"),
        StorageType.LOCAL,
        nodes=Selector((Requirement("ssd", "Exists"),)),
        path="/srv",
        used_by=("ct:default/web",),
    )
    labelled = replace(node("n1").kube, labels={"ssd": "yes"})
    control = replace(node("n4").kube, taints=(Taint("node-role.kubernetes.io/control-plane", "NoSchedule"),))
    made = house(storages=(local,), kube_nodes=(labelled, node("n2").kube, control))
    found = written(made)["scratch"]
    assert (found.nodes, found.shared, found.state, found.message) == ("1/2", False, "Available", "used by 1 guest")


def test_one_in_use_is_held_and_its_deletion_waits_and_says_for_whom():
    used = replace(CLAIM, used_by=("ct:default/web",))
    assert [action.present for action in tidy(house(storages=(used,))).actions] == [True]
    deleting = replace(used, deleting=True, held=True)
    made = house(storages=(deleting,))
    assert tidy(made).actions == ()
    assert written(made)["shared"].message == "waits to be deleted: in use by ct:default/web"


def test_one_that_cannot_be_held_or_let_go_says_why_for_as_long_as_it_matters():
    text = "SetFinalizer failed: policy frozen denies it"
    used = replace(CLAIM, used_by=("ct:default/web",), trouble=text)
    for refused, reason in ((used, "NotHeld"), (replace(CLAIM, held=True, trouble=text), "StillHeld")):
        found = written(house(storages=(refused,)))["shared"]
        assert found.message.endswith(f"; {text}")
        ready = next(one for one in found.conditions if one.type == "Ready")
        assert (ready.status, ready.reason) == ("False", reason)
    assert text not in written(house(storages=(replace(used, held=True),)))["shared"].message


def test_when_nobody_uses_it_any_more_it_goes():
    deleting = replace(CLAIM, deleting=True, held=True)
    assert [action.present for action in tidy(house(storages=(deleting,))).actions] == [False]


def test_a_missing_claim_names_the_claim():
    found = written(house(storages=(CLAIM,), claims=frozenset()))["shared"]
    assert found.state == "Missing"
    assert "PersistentVolumeClaim default/data (spec.claim) does not exist: create it" in found.message


def test_a_tidy_house_is_left_alone():
    once = tidy(house(storages=(CLAIM,)))
    settled = replace(CLAIM, status=once.statuses[0].status)
    assert tidy(house(storages=(settled,))).statuses == ()


def test_a_thousand_users_are_counted_not_listed():
    crowd = replace(CLAIM, used_by=tuple(f"ct:default/g{i}" for i in range(1000)), held=True)
    found = written(house(storages=(crowd,)))["shared"]
    assert len(found.used_by) == 51
    assert found.used_by[-1] == "and 950 more"


NFS = StorageView("media", Uid("m"), StorageType.NFS, nfs=NfsExport("nas", "/guests"), resource_version="1")


def reached(**nodes):
    """What the agents say: whether it is reached, or how full it is in percent of 1 TiB."""
    made = {}
    for name, said in nodes.items():
        used, size = (said, 1024**4) if said not in (True, False) else (0, 0)
        made[NodeName(name)] = (Reach(NFS.uid, bool(said), "" if said else "no answer", used, size),)
    return made


@pytest.mark.parametrize(
    ("said", "nodes", "state", "words"),
    [
        ({}, "?/3", "Available", "used by 0 guests"),
        ({"n1": True, "n2": True, "n3": True}, "3/3", "Available", "used by 0 guests"),
        ({"n1": True}, "1/3", "Available", "used by 0 guests"),
        ({"n1": True, "n2": False}, "1/3", "Degraded", "used by 0 guests; n2 does not reach it (no answer)"),
        ({"n1": False, "n2": False}, "0/3", "Unreachable", "no node that has looked reaches it: n1, n2 do not"),
    ],
)
def test_who_reaches_an_nfs_storage(said, nodes, state, words):
    found = written(house(storages=(NFS,), reach=reached(**said)))["media"]
    assert (found.nodes, found.state) == (nodes, state)
    assert found.message.startswith(words)
    assert [one.node for one in found.unreached] == [name for name, good in said.items() if not good]


def test_how_full_it_is_follows_in_steps():
    first = written(house(storages=(NFS,), reach=reached(n1=41, n2=40)))["media"]
    assert first.used == "41% of 1 TiB"
    settled = replace(NFS, status=first)
    assert "media" not in written(house(storages=(settled,), reach=reached(n1=45, n2=45)))
    assert written(house(storages=(settled,), reach=reached(n1=46, n2=45)))["media"].used == "46% of 1 TiB"


def test_many_nodes_that_miss_it_are_counted():
    names = [f"n{number:02}" for number in range(1, 20)]
    kubes = tuple(node(name).kube for name in names)
    said = reached(**dict.fromkeys(names, False))
    found = written(house(storages=(NFS,), kube_nodes=kubes, reach=said))["media"]
    assert "reaches it: n01, n02, n03 and 16 more do not reach it (no answer): see to the server nas" in found.message


def test_a_missing_class_is_named():
    fast = StorageView(
        "fast", Uid("f"), StorageType.STORAGE_CLASS, volume_class=VolumeClass("ssd", "8Gi", "ReadWriteOnce")
    )
    found = written(house(storages=(fast,)))["fast"]
    assert (found.state, found.shared) == ("Missing", True)
    assert "StorageClass ssd (spec.storageClass.name) does not exist: create it" in found.message
    assert written(house(storages=(fast,), classes=frozenset({"ssd"})))["fast"].state == "Available"
