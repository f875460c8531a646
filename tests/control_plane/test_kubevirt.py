"""KubeVirt's kinds: the embedded server keeps them as the real one does under KubeVirt's own CRDs."""

import pytest

from tests import kubevirt
from tests.control_plane.servers import CRDS

GROUP = "/apis/kubevirt.io/v1"
TEMPLATE = {"spec": {"domain": {"devices": {}, "memory": {"guest": "128Mi"}}, "schedulerName": "quorate"}}


@pytest.fixture(autouse=True)
def _installed(api):
    if api.token and api.get(f"{CRDS}/virtualmachines.kubevirt.io").code == 404:
        kubevirt.install(api)


def path(namespace, plural):
    return f"{GROUP}/namespaces/{namespace}/{plural}"


def machine(**spec):
    metadata = {"name": "win", "annotations": {"quorate.dev/run-strategy": "Always"}}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": metadata,
        "spec": {"runStrategy": "Always", "template": TEMPLATE} | spec,
    }


def instance(**status):
    spec = TEMPLATE["spec"]
    found = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "win"},
        "spec": spec,
    }
    return found | {"status": status}


def test_a_machine_is_changed_in_one_patch_under_its_version(api, namespace):
    made = api.post(path(namespace, "virtualmachines"), machine()).ok()
    where = f"{path(namespace, 'virtualmachines')}/win"
    change = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"], "annotations": {"seen": "1"}}}
    change["spec"] = {"runStrategy": "Once", "template": {"metadata": {"annotations": {"quorate.dev/instance": "a1"}}}}
    changed = api.merge(where, change).ok()
    assert changed["spec"]["runStrategy"] == "Once"
    assert changed["spec"]["template"]["metadata"]["annotations"] == {"quorate.dev/instance": "a1"}
    assert changed["spec"]["template"]["spec"] == TEMPLATE["spec"]
    assert changed["metadata"]["generation"] == made["metadata"]["generation"] + 1
    api.merge(where, change).refused(409, "Conflict")


def test_its_status_is_a_subresource(api, namespace):
    made = api.post(path(namespace, "virtualmachines"), machine() | {"status": {"ready": True}}).ok()
    assert "status" not in made
    where = f"{path(namespace, 'virtualmachines')}/win"
    assert "status" not in api.merge(where, {"status": {"ready": True}}).ok()
    changed = api.merge(f"{where}/status", {"status": {"ready": True}}).ok()
    assert changed["status"] == {"ready": True, "printableStatus": "Stopped"}


def test_that_of_an_instance_is_not(api, namespace):
    where = f"{path(namespace, 'virtualmachineinstances')}/win"
    made = api.post(path(namespace, "virtualmachineinstances"), instance(phase="Pending")).ok()
    assert made["status"] == {"phase": "Pending"}
    assert api.merge(where, {"status": {"phase": "Running"}}).ok()["status"] == {"phase": "Running"}
    assert api.merge(f"{where}/status", {"status": {"phase": "Failed"}}).code == 404


def test_a_migration_names_its_instance(api, namespace):
    kind = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    body = {**kind, "metadata": {"name": "win-1"}, "spec": {"vmiName": "win"}}
    made = api.post(path(namespace, "virtualmachineinstancemigrations"), body).ok()
    assert made["spec"] == {"vmiName": "win"}
    status = {"status": {"phase": "Scheduling"}}
    where = f"{path(namespace, 'virtualmachineinstancemigrations')}/win-1"
    assert api.merge(f"{where}/status", status).ok()["status"] == status["status"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"template": None}, "spec.template"),
        ({"template": {"spec": {}}}, "spec.template.spec.domain"),
        ({"template": {"spec": {"domain": {}}}}, "spec.template.spec.domain.devices"),
        ({"runStrategy": 1}, "spec.runStrategy"),
        ({"running": "yes"}, "spec.running"),
    ],
)
def test_a_wrong_machine_is_refused(api, namespace, spec, field):
    causes = api.post(path(namespace, "virtualmachines"), machine(**spec)).causes()
    assert field in {one[0] for one in causes}


def test_they_are_found_by_discovery(api):
    found = {one["name"]: one for one in api.get(GROUP).ok()["resources"]}
    assert {"virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations"} <= set(found)
    assert "vm" in found["virtualmachines"]["shortNames"]
