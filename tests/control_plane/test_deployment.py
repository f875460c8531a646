"""What `quorate install --print` prints, applied to a real API server: it takes all of it, and the Pods hold its rules."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quorate.cli.removal.found import SELECTOR
from quorate.lab.control_plane import ControlPlane
from tests import real
from tests.control_plane.client import Api
from tests.control_plane.objects import pods
from tests.control_plane.servers import eventually

pytestmark = pytest.mark.real
Json = Any
SYSTEM, AGENTS = "quorate-system", "quorate-agents"


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a server that has never heard of Quorate."""
    directory = tmp_path_factory.mktemp("deployment")
    control_plane = ControlPlane(directory / "control-plane", real.programs(), os.environ)
    try:
        (directory / "kubeconfig").write_text(control_plane.start())
        yield directory / "kubeconfig"
    finally:
        control_plane.stop()


@pytest.fixture(scope="module")
def installed(kubeconfig: Path) -> Json:
    """Printed by the program, piped into kubectl."""
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    program = [sys.executable, "-m", "quorate.cli.main", "install", "--print"]
    printed = subprocess.run(program, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "created" in apply(kubeconfig, printed)
    return list(yaml.safe_load_all(printed))


def apply(kubeconfig: Path, printed: str) -> str:
    """What kubectl said of it; it has nothing to warn of."""
    command = [real.kubectl(), f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent}", "apply", "-f", "-"]
    ended = subprocess.run(command, input=printed, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.fixture
def api(kubeconfig: Path, installed: Json) -> Api:
    return Api(kubeconfig)


def template(installed: Json, kind: str) -> Json:
    """A Pod as that workload's controller makes it."""
    (found,) = [one["spec"]["template"] for one in installed if one["kind"] == kind]
    return {"apiVersion": "v1", "kind": "Pod", **found, "metadata": {**found["metadata"], "name": "one"}}


def test_everything_is_there_with_the_label_that_uninstall_looks_for(api: Api, installed: Json) -> None:
    assert api.names("/apis/policy/v1/poddisruptionbudgets", labelSelector=SELECTOR) == ["quorate-manager"]
    assert api.names("/apis/networking.k8s.io/v1/networkpolicies", labelSelector=SELECTOR) == ["quorate-manager"]
    assert api.names("/apis/apps/v1/deployments", labelSelector=SELECTOR) == ["quorate-manager"]
    assert {one["metadata"]["labels"]["app.kubernetes.io/part-of"] for one in installed} == {"quorate"}


def test_a_manager_holds_the_rules_of_restricted_and_an_agent_does_not(api: Api, installed: Json) -> None:
    dry = {"dryRun": "All"}
    manager, agent = template(installed, "Deployment"), template(installed, "DaemonSet")
    assert api.post(pods(SYSTEM), manager, **dry).ok()["spec"]["priorityClassName"] == "system-cluster-critical"
    assert api.post(pods(AGENTS), agent, **dry).ok()["spec"]["priorityClassName"] == "system-node-critical"
    words = api.post(pods(SYSTEM), agent, **dry).refused(403, "Forbidden")
    assert 'violates PodSecurity "restricted:latest"' in words


def test_the_dashboard_beside_it(kubeconfig: Path, api: Api, installed: Json) -> None:
    """As docs/dashboard.md says: with kubectl, from its own folder; and it holds the rules of restricted as well."""
    command = [real.kubectl(), f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent}"]
    folder = Path(__file__).parents[2] / "manifests" / "dashboard"
    ended = subprocess.run([*command, "apply", "-k", folder], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    made = api.get("/apis/apps/v1/namespaces/quorate-system/deployments/quorate-dashboard").ok()
    assert made["metadata"]["labels"]["app.kubernetes.io/part-of"] == "quorate"
    pod = {"apiVersion": "v1", "kind": "Pod", **made["spec"]["template"]}
    pod["metadata"] = {**pod["metadata"], "name": "one"}
    assert api.post(pods(SYSTEM), pod, dryRun="All").ok()["spec"]["serviceAccountName"] == "quorate-dashboard"


def test_no_pod_of_a_manager_writes_but_where_it_may(installed: Json) -> None:
    spec = template(installed, "Deployment")["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert [one["mountPath"] for one in container["volumeMounts"]] == ["/tmp"]
    assert [sorted(one) for one in spec["volumes"]] == [["emptyDir", "name"]]


def test_an_eviction_of_a_manager_is_held_up_by_the_budget_alone(api: Api) -> None:
    """With one manager as well: nothing here says minAvailable."""
    path = "/apis/policy/v1/namespaces/quorate-system/poddisruptionbudgets/quorate-manager"
    spec = api.get(path).ok()["spec"]
    assert (spec.get("minAvailable"), spec["maxUnavailable"]) == (None, 1)
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_applied_again_it_rolls_nothing(api: Api, kubeconfig: Path, installed: Json) -> None:
    workloads = [
        f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/quorate-manager",
        f"/apis/apps/v1/namespaces/{AGENTS}/daemonsets/quorate-agent",
    ]
    before = [api.get(path).ok()["metadata"]["generation"] for path in workloads]
    assert "created" not in apply(kubeconfig, yaml.safe_dump_all(installed))
    assert [api.get(path).ok()["metadata"]["generation"] for path in workloads] == before


class TestTenants:
    """A guest becomes a Pod of its namespace: the rules for Pods there hold for it, whoever makes the Pod."""

    @pytest.fixture
    def namespace(self, api: Api, unique: str) -> str:
        labels = {"pod-security.kubernetes.io/enforce": "baseline"}
        api.post("/api/v1/namespaces", {"metadata": {"name": unique, "labels": labels}}).ok()
        return unique

    def made_by_the_manager(self, api: Api, namespace: str, **spec: Json) -> Json:
        containers = [{"name": "main", "image": "busybox"}]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "labels": {"quorate.dev/guest": "web"}},
            "spec": {"containers": containers, **spec},
        }
        return api.acting(user="system:serviceaccount:quorate-system:quorate-manager").post(
            pods(namespace), body, dryRun="All"
        )

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "hostPath volumes"),
            ({"hostNetwork": True}, "host namespaces"),
            ({"hostPID": True}, "host namespaces"),
        ],
        ids=["hostPath", "hostNetwork", "hostPID"],
    )
    def test_the_manager_makes_no_pod_that_its_namespace_forbids(
        self, api: Api, namespace: str, spec: Json, said: str
    ) -> None:
        assert self.made_by_the_manager(api, namespace).code == 201
        words = self.made_by_the_manager(api, namespace, **spec).refused(403, "Forbidden")
        assert f'violates PodSecurity "baseline:latest": {said}' in words

    def test_nor_one_beyond_its_quota(self, api: Api, namespace: str) -> None:
        quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        made = api.post(path, quota).ok()
        api.put(f"{path}/none/status", {**made, "status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}}).ok()
        refused = eventually(
            lambda: (found := self.made_by_the_manager(api, namespace)).code == 403 and found, limit_s=30
        )
        assert "exceeded quota: none" in refused.body["message"]


def test_uninstall_leaves_nothing_of_what_was_printed(api: Api, kubeconfig: Path, installed: Json) -> None:
    """The last one here: afterwards there is nothing to test."""
    real.garbage_collector()
    program = [sys.executable, "-m", "quorate.cli.main", "uninstall", "-y", f"--kubeconfig={kubeconfig}"]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "nothing of it is left" in ended.stdout
    kubectl = [
        real.kubectl(),
        f"--kubeconfig={kubeconfig}",
        f"--cache-dir={kubeconfig.parent}",
        "get",
        "-f",
        "-",
        "-o",
        "name",
    ]
    left = subprocess.run(
        [*kubectl, "--ignore-not-found"],
        input=yaml.safe_dump_all(installed),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (left.returncode, left.stdout) == (0, ""), left.stderr
