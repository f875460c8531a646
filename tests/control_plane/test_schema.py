"""What the CRDs promise: unknown fields, defaults, and refusals in words that kubectl prints."""

import pytest

from quorate.api.crd import UNSEEN
from tests.control_plane.objects import CLUSTERS, NODES, STORAGES, cluster, custom, guest, guests, node

MORE = "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
UNCHECKED = ("<nil>", "FieldValueInvalid", f"Invalid value: null: {MORE} validation")
PROFILES = '"Auto", "Fast", "Balanced", "Relaxed", "Proxmox", "Custom"'
EVIDENCE = ["Drained", "NewBoot", "LeaseExpired", "PowerOff", "HumanAck", "OutOfService"]
FOUR_S = {"renewEvery": "2s", "timeout": "2s", "watchdog": "4s"}
TOO_SHORT = (
    "watchdog 4000ms is shorter than renewEvery + 2 x timeout + 1s = 2000ms + 2 x 2000ms + 1000ms: "
    "one lost request would cost the node"
)


def test_the_defaults_of_a_cluster(api, unique):
    spec = api.post(CLUSTERS, cluster(unique)).ok()["spec"]
    assert spec["timing"] == {"profile": "Auto"}
    assert spec["fencing"] == {
        "acceptedEvidence": EVIDENCE,
        "acceptedWatchdogs": ["Hardware", "Softdog"],
        "holdBack": "1m",
        "maxConcurrent": 1,
        "powerOn": True,
        "startWithoutProof": False,
    }


def fenced(name, *devices):
    return custom("Node", name, {"clusterName": "prod", "fencing": {"devices": list(devices)}})


BMC = {"name": "bmc", "agent": "fence_ipmilan", "parameters": {"ip": "10.0.0.9", "lanplus": "1"}}


def test_a_fence_device_needs_little(api, unique):
    wish = fenced(unique, BMC, {"name": "pdu", "agent": "fence_apc", "level": 2})
    bmc, pdu = api.post(NODES, wish).ok()["spec"]["fencing"]["devices"]
    assert bmc == {**BMC, "level": 1, "timeout": "20s"}
    assert pdu["level"] == 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"parameters": {"action": "on"}}, "action, debug, debug_file, delay"),
        ({"parameters": {"ipmitool_path": "/tmp/x"}}, "names a program for the manager to run is not allowed"),
        ({"parameters": {"password_script": "/tmp/x"}}, "names a program for the manager to run is not allowed"),
        ({"parameters": {"ssh_options": "-o ProxyCommand=/tmp/x"}}, "names a program for the manager to run"),
        ({"parameters": {"ipmitool-path": "/tmp/x"}}, "write - as _"),
        ({"parameters": {" ipmitool_path": "/tmp/x"}}, "has letters, digits, _ and . only"),
        ({"parameters": {"missing_as_off": "1"}}, "say off of a machine that may run"),
        ({"parameters": {"network_fencing": "1"}}, "say off of a machine that may run"),
        ({"parameters": {"ip": "a\nb"}}, "should match"),
        ({"agent": "fence_ifmib"}, "cannot switch a machine's power off and tell that it is off"),
        ({"agent": "fence_dummy"}, "cannot switch a machine's power off and tell that it is off"),
        ({"agent": "/bin/sh"}, "should match"),
        ({"name": "BMC"}, "should match"),
        ({"level": 0}, "greater than or equal to 1"),
    ],
)
def test_a_fence_device_that_cannot_be_one_is_refused(api, unique, changes, why):
    words = api.post(NODES, fenced(unique, {**BMC, **changes})).refused(422, "Invalid")
    assert "spec.fencing.devices" in words
    assert why in words


def test_two_fence_devices_have_two_names(api, unique):
    words = api.post(NODES, fenced(unique, BMC, BMC)).refused(422, "Invalid")
    assert 'spec.fencing.devices[1]: Duplicate value: {"name":"bmc"}' in words


def test_defaults_fill_what_is_left_out_or_null(api, namespace):
    spec = api.post(guests(namespace), guest("web", maxRestart=3, state=None)).ok()["spec"]
    defaults = {
        "failback": True,
        "maxRelocate": 1,
        "priority": 0,
        "startTimeout": "5m",
        "state": "Started",
        "stopTimeout": "1m",
        "stopTimeoutPolicy": "Wait",
        "updatePolicy": "Recreate",
    }
    assert spec == defaults | {"maxRestart": 3, "guest": guest("web")["spec"]["guest"]}


def test_a_new_object_says_that_nobody_has_looked_at_it(api, unique):
    api.post(NODES, node(unique)).ok()
    assert api.get(f"{NODES}/{unique}").ok()["status"] == UNSEEN


def test_a_status_has_no_defaults_of_its_own(api, unique):
    api.post(NODES, node(unique)).ok()
    assert api.merge(f"{NODES}/{unique}/status", {"status": {"guests": 2}}).ok()["status"] == UNSEEN | {"guests": 2}


def test_a_template_is_kept_as_it_is(api, namespace):
    template = {"containers": [{"name": "a", "imagine": {"x": [1, {"y": 2.5}]}}], "anything": True}
    made = api.post(guests(namespace), guest("web", guest={"container": {"spec": template}})).ok()
    assert made["spec"]["guest"]["container"]["spec"] == template


def test_unknown_fields_are_pruned_with_a_warning(api, unique):
    answer = api.post(CLUSTERS, cluster(unique, timing={"profile": "Fast", "bar": 1}, foo=1) | {"baz": 1})
    made = answer.ok()
    assert ("baz" in made, "foo" in made["spec"], made["spec"]["timing"]) == (False, False, {"profile": "Fast"})
    found = ", ".join(answer.warnings())
    assert all(f'unknown field \\"{field}\\"' in found for field in ("baz", "spec.foo", "spec.timing.bar"))


def test_unknown_fields_are_refused_on_request(api, unique):
    wish = cluster(unique, timing={"bar": 1}, foo=1) | {"baz": 1}
    words = api.post(CLUSTERS, wish, fieldValidation="Strict").refused(400, "BadRequest")
    assert words == (
        'Cluster in version "v1alpha1" cannot be handled as a Cluster: strict decoding error: '
        'unknown field "baz", unknown field "spec.foo", unknown field "spec.timing.bar"'
    )
    api.post(CLUSTERS, cluster(unique)).ok()
    patched = api.merge(f"{CLUSTERS}/{unique}", {"spec": {"foo": 1}}, fieldValidation="Strict")
    assert patched.code in (400, 422)
    assert 'strict decoding error: unknown field "spec.foo"' in patched.body["message"]


def test_unknown_fields_in_lists_are_named(api, namespace):
    wish = guest("web", storage=[{"name": "a", "path": "/a"}, {"name": "b", "path": "/b", "mode": "rw"}])
    words = api.post(guests(namespace), wish, fieldValidation="Strict").refused(400, "BadRequest")
    assert 'unknown field "spec.storage[1].mode"' in words


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        (
            {"timing": {"profile": "Foo"}},
            {
                (
                    "spec.timing.profile",
                    "FieldValueNotSupported",
                    f'Unsupported value: "Foo": supported values: {PROFILES}',
                ),
                UNCHECKED,
            },
        ),
        (
            {"quorum": {"expectedVotes": {"votes": 0, "reason": "", "generation": 1}}},
            {
                (
                    "spec.quorum.expectedVotes.reason",
                    "FieldValueInvalid",
                    'Invalid value: "": spec.quorum.expectedVotes.reason in body should be at least 1 chars long',
                ),
                (
                    "spec.quorum.expectedVotes.votes",
                    "FieldValueInvalid",
                    "Invalid value: 0: spec.quorum.expectedVotes.votes in body should be greater than or equal to 1",
                ),
            },
        ),
        (
            {"quorum": {"expectedVotes": {"votes": "x", "reason": 5, "generation": None}}},
            {
                (
                    "spec.quorum.expectedVotes.reason",
                    "FieldValueTypeInvalid",
                    'Invalid value: "integer": spec.quorum.expectedVotes.reason in body must be of type string: "integer"',
                ),
                (
                    "spec.quorum.expectedVotes.votes",
                    "FieldValueTypeInvalid",
                    'Invalid value: "string": spec.quorum.expectedVotes.votes in body must be of type integer: "string"',
                ),
                ("spec.quorum.expectedVotes.generation", "FieldValueRequired", "Required value"),
                UNCHECKED,
            },
        ),
        (
            {"disarm": {"mode": "Freeze", "reason": "new switch"}},
            {("spec.disarm.until", "FieldValueRequired", "Required value"), UNCHECKED},
        ),
        (
            {"fencing": {"acceptedEvidence": ["Drained", "Drained"]}},
            {("spec.fencing.acceptedEvidence[1]", "FieldValueDuplicate", 'Duplicate value: "Drained"')},
        ),
        (
            {"nodeSelector": {"matchLabels": {"a": 1}, "matchExpressions": [{"key": "x"}]}},
            {
                (
                    "spec.nodeSelector.matchLabels.a",
                    "FieldValueTypeInvalid",
                    'Invalid value: "integer": spec.nodeSelector.matchLabels.a in body must be of type string: "integer"',
                ),
                ("spec.nodeSelector.matchExpressions[0].operator", "FieldValueRequired", "Required value"),
                UNCHECKED,
            },
        ),
        (
            "x",
            {
                (
                    "spec",
                    "FieldValueTypeInvalid",
                    'Invalid value: "string": spec in body must be of type object: "string"',
                ),
                UNCHECKED,
            },
        ),
        (None, {("spec", "FieldValueRequired", "Required value"), UNCHECKED}),
    ],
)
def test_a_wrong_cluster_is_refused_field_by_field(api, unique, spec, causes):
    assert api.post(CLUSTERS, custom("Cluster", unique, spec)).causes() == causes


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        (
            {"comment": "x" * 4097},
            {("spec.comment", "FieldValueTooLong", "Too long: may not be more than 4096 bytes"), UNCHECKED},
        ),
        (
            {"storage": [{"name": f"s{number}", "path": "/x"} for number in range(33)]},
            {("spec.storage", "FieldValueTooMany", "Too many: 33: must have at most 32 items"), UNCHECKED},
        ),
        (
            {"storage": [{"name": "a", "path": "/x"}, {"name": "a", "path": "/y"}]},
            {("spec.storage[1]", "FieldValueDuplicate", 'Duplicate value: {"name":"a"}')},
        ),
        (
            {"storage": [{"name": "a", "path": "x"}]},
            {
                (
                    "spec.storage[0].path",
                    "FieldValueInvalid",
                    "Invalid value: \"x\": spec.storage[0].path in body should match '^/[^:]*$'",
                )
            },
        ),
        (
            {"maxRestart": 101},
            {
                (
                    "spec.maxRestart",
                    "FieldValueInvalid",
                    "Invalid value: 101: spec.maxRestart in body should be less than or equal to 100",
                )
            },
        ),
        (
            {"guest": {"container": {}}},
            {("spec.guest.container.spec", "FieldValueRequired", "Required value"), UNCHECKED},
        ),
    ],
)
def test_a_wrong_guest_is_refused_field_by_field(api, namespace, spec, causes):
    assert api.post(guests(namespace), guest("web", **spec)).causes() == causes


WORKLOAD = {"workload": {"kind": "StatefulSet", "name": "db"}}


def test_a_workload_has_its_defaults(api, namespace):
    made = api.post(guests(namespace), guest("db", guest={"workload": {"name": "db"}})).ok()
    assert made["spec"]["guest"] == {"workload": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db"}}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"guest": {}}, "exactly one of container, virtualMachine and workload"),
        ({"guest": {**WORKLOAD, "container": {"spec": {}}}}, "exactly one of container, virtualMachine and workload"),
        (
            {"guest": {"virtualMachine": {"name": "win"}, "container": {"spec": {}}}},
            "exactly one of container, virtualMachine and workload",
        ),
        (
            {"guest": {"virtualMachine": {"name": "win"}}, "updatePolicy": "OnDelete"},
            "updatePolicy means nothing for a",
        ),
        (
            {"guest": {"virtualMachine": {"name": "win"}}, "storage": [{"name": "nas", "path": "/srv"}]},
            "a virtual machine names its own volumes",
        ),
        ({"guest": {"workload": {"kind": "StatefulSet"}}}, "exactly one of name and selector"),
        ({"guest": {"workload": {"name": "db", "selector": {}}}}, "exactly one of name and selector"),
        (
            {"guest": {"workload": {"kind": "Deployment", "selector": {}}}},
            "selector protects StatefulSets: name a Deployment",
        ),
        ({"guest": {"workload": {"kind": "DaemonSet", "name": "db"}}}, 'supported values: "StatefulSet", "Deployment"'),
        ({"guest": WORKLOAD, "state": "Stopped"}, "a workload is Started (protected) or Ignored"),
        ({"guest": WORKLOAD, "maxRestart": 3}, "maxRestart means nothing for a workload"),
        ({"guest": WORKLOAD, "startTimeout": "9m"}, "startTimeout means nothing for a workload"),
        ({"guest": WORKLOAD, "storage": [{"name": "a", "path": "/a"}]}, "storage means nothing for a workload"),
        ({"guest": WORKLOAD, "startAfter": ["web"]}, "startAfter means nothing for a workload"),
    ],
)
def test_a_wrong_workload_is_refused(api, namespace, spec, said):
    assert said in api.post(guests(namespace), guest("db", **spec)).refused(422, "Invalid")


def test_a_guest_does_not_turn_into_another_kind(api, namespace):
    api.post(guests(namespace), guest("web")).ok()
    change = {"spec": {"guest": {"container": None, **WORKLOAD}}}
    answer = api.merge(f"{guests(namespace)}/web", change)
    assert "a guest does not turn into another kind" in answer.refused(422, "Invalid")


def test_a_wrong_status_is_refused(api, namespace):
    api.post(guests(namespace), guest("web")).ok()
    path = f"{guests(namespace)}/web/status"
    time = 'Invalid value: "never": since in body must be of type date-time: "never"'
    assert api.merge(path, {"status": {"since": "never"}}).causes() == {
        ("status.since", "FieldValueTypeInvalid", time),
        UNCHECKED,
    }
    assert api.merge(path, {"status": {"since": "2026-11-22T17:50:58.123Z"}}).code == 200
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "a",
        "message": "",
        "lastTransitionTime": "2026-11-22T17:50:58Z",
    }
    twice = api.merge(path, {"status": {"conditions": [condition, condition]}})
    assert twice.causes() == {("status.conditions[1]", "FieldValueDuplicate", 'Duplicate value: {"type":"Ready"}')}


def test_a_timing_that_breaks_its_inequality_is_refused_with_the_arithmetic(api, unique):
    answer = api.post(CLUSTERS, cluster(unique, timing={"profile": "Custom", "custom": FOUR_S}))
    assert answer.refused(422, "Invalid") == (
        f'Cluster.quorate.dev "{unique}" is invalid: spec.timing.custom: Invalid value: "object": {TOO_SHORT}'
    )
    assert answer.body["details"]["kind"] == "Cluster"
    assert answer.body["details"]["group"] == "quorate.dev"
    assert answer.body["details"]["name"] == unique


@pytest.mark.parametrize(
    ("quorum", "said"),
    [
        ({"twoNode": True, "device": {"name": "a"}}, "twoNode and device exclude each other"),
        ({"twoNode": True, "autoTieBreaker": True}, "twoNode and autoTieBreaker exclude each other"),
        ({"autoTieBreaker": True, "device": {"name": "a"}}, "device and autoTieBreaker exclude each other"),
        ({"waitForAll": True, "lastManStanding": {}, "device": {"name": "a"}}, "device and lastManStanding exclude"),
        ({"autoTieBreakerNodes": ["n1"]}, "autoTieBreakerNodes belongs to autoTieBreaker"),
        ({"lastManStanding": {}}, "lastManStanding needs waitForAll"),
        ({"device": {"name": "a", "votes": 0}}, "should be greater than or equal to 1"),
        ({"device": {"name": "A B"}}, "spec.quorum.device.name in body should match"),
        ({"waitForAll": True, "lastManStanding": {"window": "soon"}}, "spec.quorum.lastManStanding.window in body"),
    ],
)
def test_options_of_quorum_that_cannot_be_are_refused(api, unique, quorum, said):
    assert said in api.post(CLUSTERS, cluster(unique, quorum=quorum)).refused(422, "Invalid")


def test_options_of_quorum_that_can_be_are_taken(api, unique):
    wish = {"waitForAll": True, "autoTieBreaker": True, "autoTieBreakerNodes": ["n1"], "lastManStanding": {}}
    made = api.post(CLUSTERS, cluster(unique, quorum=wish)).ok()["spec"]["quorum"]
    assert made["lastManStanding"] == {"window": "10s"}
    assert made == wish | {"lastManStanding": {"window": "10s"}, "twoNode": False}


def test_every_broken_rule_is_told(api, unique):
    answer = api.post(CLUSTERS, cluster(unique, timing={"profile": "Fast", "custom": FOUR_S}))
    assert answer.causes() == {
        (
            "spec.timing",
            "FieldValueInvalid",
            'Invalid value: "object": custom belongs to profile Custom, and only to it',
        ),
        ("spec.timing.custom", "FieldValueInvalid", f'Invalid value: "object": {TOO_SHORT}'),
    }


def test_a_rule_that_cannot_be_evaluated_is_told(api, unique):
    timing = {"profile": "Custom", "custom": FOUR_S | {"watchdog": "4"}}
    texts = {
        text
        for field, _, text in api.post(CLUSTERS, cluster(unique, timing=timing)).causes()
        if field == "spec.timing.custom"
    }
    assert len(texts) == 1
    assert "evaluating rule: duration(self.watchdog) >= duration(self.renewEvery)" in texts.pop()


def test_a_rule_can_be_about_the_name(api, unique):
    (cause,) = api.post(CLUSTERS, cluster(unique + "x" * 40)).causes()
    words = 'Invalid value: "object": the name of a Cluster has at most 48 characters'
    assert cause == ("<nil>", "FieldValueInvalid", words)


def test_what_is_immutable_stays(api, unique):
    made = api.post(NODES, node(unique, "prod")).ok()
    answer = api.put(f"{NODES}/{unique}", made | {"spec": {"clusterName": "other"}})
    words = 'Invalid value: "string": clusterName is immutable'
    assert answer.causes() == {("spec.clusterName", "FieldValueInvalid", words)}
    assert api.merge(f"{NODES}/{unique}", {"spec": {"clusterName": "other"}}).causes() == answer.causes()


def test_a_rule_about_a_change_is_asked_only_then(api, unique):
    local = {"type": "Local", "local": {"path": "/srv"}}
    api.post(STORAGES, custom("Storage", unique, local)).ok()
    patch = {"type": "Claim", "local": None, "claim": {"namespace": "a", "name": "b"}}
    (cause,) = api.merge(f"{STORAGES}/{unique}", {"spec": patch}).causes()
    assert cause[::2] == ("spec", 'Invalid value: "object": type is immutable: guests\' data would be elsewhere')


def test_a_label_value_is_checked(api, unique):
    ((field, _, text),) = {*api.post(NODES, node(unique, labels={"a": "b c"})).causes()}
    assert field.startswith("metadata.labels")
    assert 'Invalid value: "b c"' in text


RULE = {"name": "db", "guests": {"names": ["shop/db"]}, "nodeAffinity": {"nodes": [{"name": "n1"}]}}
EITHER = "each of spec.rules has exactly one of nodeAffinity and guestAffinity"
WHOM = "each of spec.rules says whom it is about: guests.names, guests.selector, or both"


def test_the_defaults_of_a_rule(api, unique):
    made = api.post(CLUSTERS, cluster(unique, rules=[RULE])).ok()["spec"]["rules"]
    assert made == [
        RULE | {"nodeAffinity": {"nodes": [{"name": "n1", "priority": 0}], "strict": False}, "disabled": False}
    ]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([RULE | {"guestAffinity": {"affinity": "Apart"}}], EITHER),
        ([{"name": "db", "guests": {"names": ["shop/db"]}}], EITHER),
        ([RULE, RULE | {"name": "none", "guests": {}}], WHOM),
        ([RULE, RULE], "Duplicate value"),
        ([RULE | {"name": "Db"}], "should match"),
        ([RULE | {"guests": {"names": ["db"]}}], "should match"),
        ([RULE | {"nodeAffinity": {"nodes": []}}], "should have at least 1 items"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_with_the_reason(api, unique, rules, words):
    assert words in api.post(CLUSTERS, cluster(unique, rules=rules)).refused(422, "Invalid")


def test_as_many_rules_as_there_may_be(api, unique):
    names = [f"shop/db-{number}" for number in range(128)]
    rules = [RULE | {"name": f"rule-{number}", "guests": {"names": names}} for number in range(256)]
    assert len(api.post(CLUSTERS, cluster(unique, rules=rules)).ok()["spec"]["rules"]) == 256


def test_rebalancing_needs_a_mode_that_knows_loads(api, unique):
    wish = cluster(unique, scheduling={"autoRebalance": {}})
    assert "autoRebalance needs mode Static or Dynamic" in api.post(CLUSTERS, wish).refused(422, "Invalid")
    wish = cluster(unique, scheduling={"mode": "Static", "autoRebalance": {}}, tolerateNodeFailures=0)
    asked = {"threshold": 30, "margin": 10, "hold": "30s", "method": "BruteForce", "maxMoves": 1}
    made = api.post(CLUSTERS, wish).ok()["spec"]
    assert (made["scheduling"]["autoRebalance"], made["tolerateNodeFailures"]) == (asked, 0)


NFS = {"type": "NFS", "nfs": {"server": "nas.example.org", "export": "/export/guests"}}
CLASS = {"type": "StorageClass", "storageClass": {"name": "ssd"}}


def test_the_defaults_of_a_storage(api, unique):
    spec = api.post(STORAGES, custom("Storage", unique, CLASS)).ok()["spec"]
    assert spec["storageClass"] == {"name": "ssd", "size": "8Gi", "accessMode": "ReadWriteOnce"}
    assert (spec["content"], spec["onLoss"]) == (["Images", "RootDir"], "Ignore")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"local": {"path": "/srv"}}, "local belongs to type Local, and only to it"),
        ({"nfs": None}, "nfs belongs to type NFS, and only to it"),
        ({"nfs": {"server": "nas", "export": "guests"}}, "spec.nfs.export in body should match"),
        ({"nfs": {"server": "nas; reboot", "export": "/x"}}, "spec.nfs.server in body should match"),
        (
            {"nfs": {"server": "nas", "export": "/x", "options": ["ro,suid"]}},
            "spec.nfs.options[0] in body should match",
        ),
        ({"content": []}, "should have at least 1 items"),
        ({"content": ["Backup"]}, "Unsupported value"),
        ({"onLoss": "Fence"}, "Unsupported value"),
        (
            {"type": "StorageClass", "nfs": None, "storageClass": {"name": "a", "size": "big"}},
            "size in body should match",
        ),
        ({"type": "StorageClass", "nfs": None}, "storageClass belongs to type StorageClass, and only to it"),
    ],
)
def test_a_storage_that_cannot_be_one_is_refused_with_the_reason(api, unique, change, words):
    spec = {key: one for key, one in (NFS | change).items() if one is not None}
    assert words in api.post(STORAGES, custom("Storage", unique, spec)).refused(422, "Invalid")


def test_an_nfs_storage_stays_where_it_is(api, unique):
    options = {"nfs": NFS["nfs"] | {"options": ["nfsvers=4.2"] * 32}}
    api.post(STORAGES, custom("Storage", unique, NFS | options)).ok()
    patch = {"nfs": {"server": "other"}}
    words = api.merge(f"{STORAGES}/{unique}", {"spec": patch}).refused(422, "Invalid")
    assert "nfs is immutable, as the volumes made of it are: add another Storage" in words
    api.merge(f"{STORAGES}/{unique}", {"spec": {"onLoss": "Relocate", "allowedNamespaces": ["shop"]}}).ok()


def test_the_name_of_a_storage_becomes_part_of_others(api):
    words = api.post(STORAGES, custom("Storage", "s" * 64, NFS)).refused(422, "Invalid")
    assert "the name becomes part of others and a label: at most 63 characters" in words
