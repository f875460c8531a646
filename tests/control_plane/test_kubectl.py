"""kubectl as people use it on Quorate's kinds: what it prints, and that it ends well."""

import json
import re
import subprocess

import pytest

from quorate.api.crd import KINDS, render
from tests import real
from tests.control_plane.objects import CLUSTERS, KUBE_NODES, NODES, cluster, custom, guest, guests, node, pod, pods
from tests.control_plane.servers import LIMIT_S, eventually

QUICKSTART = """
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: prod}
spec: {}        # every worker votes, timing fits the control plane
---
apiVersion: quorate.dev/v1alpha1
kind: HAResource
metadata: {name: web, namespace: default}
spec:
  maxRestart: 1
  maxRelocate: 1
  guest:
    container:
      spec:
        containers: [{name: web, image: nginx:1.29}]
"""


def table(text):
    """What kubectl printed, as rows of cells; columns are told apart by the heads' places."""
    lines = text.rstrip("\n").split("\n")
    starts = [match.start() for match in re.finditer(r"(?<!\S)\S", lines[0].replace(" SEEN", "_SEEN"))]
    return [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in lines]


@pytest.fixture
def quickstart(api, kubectl):
    """Taken away again."""
    yield kubectl("apply", "-f", "-", manifest=QUICKSTART).stdout
    api.delete(f"{CLUSTERS}/prod")
    api.delete(f"{guests('default')}/web")


def test_the_quickstart_is_applied(quickstart, kubectl):
    assert quickstart == "cluster.quorate.dev/prod created\nharesource.quorate.dev/web created\n"
    again = kubectl("apply", "-f", "-", manifest=QUICKSTART).stdout
    assert again == "cluster.quorate.dev/prod unchanged\nharesource.quorate.dev/web unchanged\n"


def test_the_crds_are_applied_and_waited_for(kubectl):
    for kind in KINDS:
        kubectl("apply", "-f", "-", manifest=render(kind))
    waited = kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s").stdout
    assert waited.count("condition met") == len(KINDS)


def test_apply_changes_what_it_applied(kubectl, unique):
    def apply(**spec):
        return kubectl("apply", "-f", "-", manifest=cluster(unique, **spec)).stdout

    def profile():
        return kubectl("get", "qc", unique, "-o", "jsonpath={.spec.timing.profile}").stdout

    assert apply(timing={"profile": "Fast"}) == f"cluster.quorate.dev/{unique} created\n"
    assert apply(timing={"profile": "Relaxed"}) == f"cluster.quorate.dev/{unique} configured\n"
    assert profile() == "Relaxed"
    assert apply() == f"cluster.quorate.dev/{unique} configured\n"
    assert profile() == "Auto", "a field that is applied no more gets its default back"


def test_apply_names_an_unknown_field(kubectl, unique):
    ended = kubectl("apply", "-f", "-", manifest=cluster(unique, timings={}), code=1)
    assert 'strict decoding error: unknown field "spec.timings"' in ended.stderr


def test_apply_prints_why_an_object_is_refused(kubectl, unique):
    timing = {"profile": "Custom", "custom": {"renewEvery": "2s", "timeout": "2s", "watchdog": "4s"}}
    ended = kubectl("apply", "-f", "-", manifest=cluster(unique, timing=timing), code=1)
    assert ended.stderr.endswith(
        f'The Cluster "{unique}" is invalid: spec.timing.custom: Invalid value: "object": watchdog 4000ms is shorter than '
        "renewEvery + 2 x timeout + 1s = 2000ms + 2 x 2000ms + 1000ms: one lost request would cost the node\n"
    )


def test_apply_on_the_server_side_dry_run_stores_nothing(kubectl, unique):
    ended = kubectl("apply", "--dry-run=server", "-f", "-", manifest=cluster(unique))
    assert ended.stdout == f"cluster.quorate.dev/{unique} created (server dry run)\n"
    assert "NotFound" in kubectl("get", "qc", unique, code=1).stderr


@pytest.mark.parametrize(
    ("kind", "heads", "more"),
    [
        ("qc", "NAME QUORATE VOTES NODES GUESTS FENCING STATUS AGE", "MANAGER TERM"),
        ("qn", "NAME STATE VOTES SINCE WATCHDOG GUESTS AGE", "WHY AGENT"),
        ("har", "NAME GUEST WANT STATE READY NODE TARGET SINCE AGE", "TRIES WHY"),
        ("qs", "NAME TYPE SHARED NODES USED STATUS AGE", "CONTENT WHY"),
    ],
)
def test_get_prints_the_columns(api, kubectl, namespace, unique, kind, heads, more):
    api.post(CLUSTERS, cluster(unique)).ok()
    api.post(NODES, node(unique)).ok()
    api.post(guests(namespace), guest(unique)).ok()
    local = {"type": "Local", "local": {"path": "/srv"}}
    api.post(CLUSTERS.replace("clusters", "storages"), custom("Storage", unique, local)).ok()
    assert table(kubectl("get", kind, unique, "-n", namespace).stdout)[0] == heads.split()
    wide = table(kubectl("get", kind, unique, "-n", namespace, "-o", "wide").stdout)[0]
    assert sorted(wide) == sorted([*heads.split(), *more.split()])


def test_get_prints_what_is_known(api, kubectl, namespace):
    api.post(guests(namespace), guest("web", state="Stopped")).ok()
    assert table(kubectl("get", "har", "-n", namespace).stdout)[1][:5] == ["web", "", "Stopped", "", ""]
    status = {
        "guest": f"ct:{namespace}/web",
        "state": "Started",
        "ready": True,
        "node": "node1",
        "since": "2020-01-01T00:00:00Z",
    }
    api.merge(f"{guests(namespace)}/web/status", {"status": status}).ok()
    row = table(kubectl("get", "har", "-n", namespace).stdout)[1]
    assert row[:7] == ["web", f"ct:{namespace}/web", "Stopped", "Started", "true", "node1", ""]
    assert re.fullmatch(r"[6-9]y\d*d?", row[7]), "an age, computed by the server"
    assert re.fullmatch(r"\d+s", row[8])


def test_the_category_lists_all_kinds(api, kubectl, namespace, unique):
    api.post(CLUSTERS, cluster(unique)).ok()
    api.post(guests(namespace), guest(unique)).ok()
    names = kubectl("get", "quorate", "-n", namespace, "-o", "name").stdout.split()
    assert {f"cluster.quorate.dev/{unique}", f"haresource.quorate.dev/{unique}"} <= set(names)


def test_get_works_on_kubernetes_kinds(api, kubectl, namespace, unique):
    api.post(KUBE_NODES, {"metadata": {"name": unique}}).ok()
    api.post(pods(namespace), pod("web", node=unique)).ok()
    assert table(kubectl("get", "nodes", unique).stdout)[1][0] == unique
    heads, row = table(kubectl("get", "pods", "-n", namespace, "-o", "wide").stdout)
    assert (row[heads.index("STATUS")], row[heads.index("NODE")]) == ("Pending", unique)
    assert (
        kubectl("get", "pods", "-n", namespace, "--field-selector", f"spec.nodeName={unique}", "-o", "name").stdout
        == "pod/web\n"
    )
    for kind in (
        "events",
        "secrets",
        "cm",
        "sa",
        "svc",
        "pvc",
        "pv",
        "leases",
        "endpointslices",
        "controllerrevisions",
    ):
        kubectl("get", kind, "-n", namespace)


def test_describe_prints_the_object_and_its_events(api, kubectl, unique):
    made = api.post(CLUSTERS, cluster(unique)).ok()
    api.merge(f"{CLUSTERS}/{unique}/status", {"status": {"message": "three of three votes"}}).ok()
    about = {key: made[key] for key in ("apiVersion", "kind")} | {key: made["metadata"][key] for key in ("name", "uid")}
    event = {
        "metadata": {"name": f"{unique}.1"},
        "regarding": about,
        "eventTime": "2026-11-22T17:50:58.692485Z",
        "reportingController": "quorate.dev/manager",
        "reportingInstance": "manager-1",
        "action": "Plan",
        "reason": "NowQuorate",
        "type": "Normal",
        "note": "all votes are alive",
    }
    api.post("/apis/events.k8s.io/v1/namespaces/default/events", event).ok()
    text = kubectl("describe", "qc", unique).stdout
    assert re.search(r"Message: +three of three votes", text)
    assert re.search(r"Profile: +Auto", text)
    assert re.search(r"Normal +NowQuorate +\S.* quorate\.dev/manager +all votes are alive", text)


def test_annotate_and_label(api, kubectl, unique):
    api.post(NODES, node(unique)).ok()
    assert kubectl("annotate", "qn", unique, "quorate.dev/command=1 reset").stdout.endswith(" annotated\n")
    assert kubectl("label", "qn", unique, "rack=7").stdout.endswith(" labeled\n")
    meta = api.get(f"{NODES}/{unique}").ok()["metadata"]
    assert (meta["annotations"], meta["labels"]) == ({"quorate.dev/command": "1 reset"}, {"rack": "7"})
    assert kubectl("get", "qn", "-l", "rack=7,!x", "-o", "name").stdout == f"node.quorate.dev/{unique}\n"
    kubectl("annotate", "qn", unique, "quorate.dev/command-")
    assert "annotations" not in api.get(f"{NODES}/{unique}").ok()["metadata"]


def test_taint_and_cordon_of_kubernetes_nodes(api, kubectl, unique):
    api.post(KUBE_NODES, {"metadata": {"name": unique}}).ok()
    kubectl("taint", "node", unique, "a=b:NoSchedule")
    kubectl("cordon", unique)
    spec = api.get(f"{KUBE_NODES}/{unique}").ok()["spec"]
    assert {"key": "a", "value": "b", "effect": "NoSchedule"} in spec["taints"]
    assert spec["unschedulable"] is True
    kubectl("taint", "node", unique, "a-")
    kubectl("uncordon", unique)
    spec = api.get(f"{KUBE_NODES}/{unique}").ok()["spec"]
    assert all(taint["key"] != "a" for taint in spec.get("taints") or [])
    assert not spec.get("unschedulable")


def test_patch_and_edit_of_a_status(api, kubectl, unique):
    api.post(NODES, node(unique)).ok()
    kubectl("patch", "qn", unique, "--subresource=status", "--type=merge", "-p", '{"status": {"votes": 2}}')
    kubectl("patch", "qn", unique, "--type=json", "-p", '[{"op": "replace", "path": "/spec/votes", "value": 3}]')
    found = api.get(f"{NODES}/{unique}").ok()
    assert (found["status"]["votes"], found["spec"]["votes"]) == (2, 3)
    kubectl("replace", "-f", "-", manifest=found | {"spec": {"clusterName": "prod", "votes": 4}})
    assert api.get(f"{NODES}/{unique}").ok()["spec"]["votes"] == 4


def test_delete_waits_for_finalizers(api, kubectl, kubeconfig, unique):
    api.post(CLUSTERS, custom("Cluster", unique, {}, finalizers=["quorate.dev/member"])).ok()
    command = [real.kubectl(), f"--kubeconfig={kubeconfig}", "delete", "qc", unique, "--wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as deleting:
        eventually(lambda: "deletionTimestamp" in api.get(f"{CLUSTERS}/{unique}").ok()["metadata"])
        assert deleting.poll() is None
        api.merge(f"{CLUSTERS}/{unique}", {"metadata": {"finalizers": []}}).ok()
        said, _ = deleting.communicate(timeout=LIMIT_S)
    assert (deleting.returncode, said) == (0, f'cluster.quorate.dev "{unique}" deleted\n')


def test_delete_of_what_is_not_there_fails(kubectl, unique):
    ended = kubectl("delete", "qc", unique, code=1)
    assert ended.stderr == f'Error from server (NotFound): clusters.quorate.dev "{unique}" not found\n'


def test_delete_of_a_namespace_waits_until_it_is_empty(api, controllers, kubectl, namespace):
    api.post(guests(namespace), guest("web")).ok()
    kubectl("delete", "namespace", namespace, "--wait", "--timeout=50s")
    assert api.get(f"/api/v1/namespaces/{namespace}").code == 404


def test_wait_sees_a_condition_come(api, kubectl, kubeconfig, unique):
    api.post(CLUSTERS, cluster(unique)).ok()
    command = [
        real.kubectl(),
        f"--kubeconfig={kubeconfig}",
        "wait",
        "--for=condition=Ready",
        "qc",
        unique,
        "--timeout=40s",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        ready = {"type": "Ready", "status": "True", "reason": "AsWished", "message": ""}
        ready["lastTransitionTime"] = "2026-11-22T17:50:58Z"
        assert waiting.poll() is None
        seen = {"observedGeneration": 1, "conditions": [ready]}  # of an older spec kubectl would not take its word
        api.merge(f"{CLUSTERS}/{unique}/status", {"status": seen}).ok()
        said, _ = waiting.communicate(timeout=LIMIT_S)
    assert (waiting.returncode, said) == (0, f"cluster.quorate.dev/{unique} condition met\n")
    kubectl("wait", "--for=jsonpath={.spec.timing.profile}=Auto", "qc", unique, "--timeout=20s")


def test_explain_reads_like_documentation(kubectl):
    spec = kubectl("explain", "qn.spec").stdout
    assert "GROUP:      quorate.dev\nKIND:       Node\nVERSION:    v1alpha1\n" in spec
    assert "  clusterName\t<string> -required-\n    The Cluster it votes in." in spec
    assert "  votes\t<integer>\n    Its votes. 0 is allowed" in spec
    states = kubectl("explain", "har.spec.state").stdout
    assert "ENUM:\n    Started\n    Stopped\n    Disabled\n    Ignored\n" in states
    for kind in ("qc", "qn", "har", "qs"):
        assert "What is wished." in kubectl("explain", kind).stdout


def test_get_and_watch_follows_changes(api, kubeconfig, kubectl, namespace, tmp_path):
    api.post(guests(namespace), guest("web")).ok()
    said = tmp_path / "said"
    command = [real.kubectl(), f"--kubeconfig={kubeconfig}", "get", "har", "-n", namespace, "--watch"]
    with said.open("wb") as output, subprocess.Popen(command, stdout=output) as watching:
        eventually(lambda: said.read_text().count("\n") == 2)
        api.merge(f"{guests(namespace)}/web/status", {"status": {"state": "Starting"}}).ok()
        api.merge(f"{guests(namespace)}/web/status", {"status": {"state": "Started"}}).ok()
        eventually(lambda: said.read_text().count("\n") == 4)
        watching.terminate()
    lines = said.read_text().splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["NAME", "GUEST", "WANT"],
        ["web", "Started", lines[1].split()[2]],
        ["web", "Started", "Starting"],
        ["web", "Started", "Started"],
    ]


def test_api_resources_names_our_kinds(kubectl):
    found = [line.split() for line in kubectl("api-resources", "--api-group=quorate.dev").stdout.splitlines()[1:]]
    assert found == [
        ["clusters", "qc", "quorate.dev/v1alpha1", "false", "Cluster"],
        ["haresources", "har", "quorate.dev/v1alpha1", "true", "HAResource"],
        ["nodes", "qn", "quorate.dev/v1alpha1", "false", "Node"],
        ["storages", "qs", "quorate.dev/v1alpha1", "false", "Storage"],
    ]


def test_the_server_says_how_it_is(kubectl):
    version = json.loads(kubectl("version", "-o", "json").stdout)["serverVersion"]
    assert (version["major"], version["minor"]) == ("1", "34")
    for path in ("/healthz", "/livez", "/readyz"):
        assert kubectl("get", "--raw", path).stdout.strip('"') == "ok"
