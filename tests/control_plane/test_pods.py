"""Pods: the defaults that clients see, and templates that the API server rejects, in its own words."""

import pytest

from tests.control_plane.objects import pod, pods

NO_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
REQUIRED = ("FieldValueRequired", "Required value")


def container(name="main", image="busybox", **more):
    return {"name": name, "image": image, **more}


def test_a_new_pod_is_pending_whatever_it_says(api, namespace):
    made = api.post(pods(namespace), pod("web", node="node1") | {"status": {"phase": "Running"}}).ok()
    assert made["status"]["phase"] == "Pending"
    assert made["spec"]["restartPolicy"] == "Always"
    assert made["spec"]["terminationGracePeriodSeconds"] == 30
    assert made["spec"]["nodeName"] == "node1"
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({}, {("spec.containers", *REQUIRED)}),
        ({"containers": []}, {("spec.containers", *REQUIRED)}),
        ({"containers": [{}]}, {("spec.containers[0].name", *REQUIRED), ("spec.containers[0].image", *REQUIRED)}),
        (
            {"containers": [container(name="A b")]},
            {("spec.containers[0].name", "FieldValueInvalid", f'Invalid value: "A b": {NO_LABEL}')},
        ),
        (
            {"containers": [container(), container()]},
            {("spec.containers[1].name", "FieldValueDuplicate", 'Duplicate value: "main"')},
        ),
        (
            {"containers": [container()], "initContainers": [{"name": "first"}]},
            {("spec.initContainers[0].image", *REQUIRED)},
        ),
        (
            {"containers": [container()], "restartPolicy": "Perhaps"},
            {
                (
                    "spec.restartPolicy",
                    "FieldValueNotSupported",
                    'Unsupported value: "Perhaps": supported values: "Always", "OnFailure", "Never"',
                )
            },
        ),
        (
            {"containers": [container(volumeMounts=[{"name": "data", "mountPath": "/data"}])]},
            {("spec.containers[0].volumeMounts[0].name", "FieldValueNotFound", 'Not found: "data"')},
        ),
        (
            {"containers": [container(volumeMounts=[{"name": "data"}])], "volumes": [{"name": "data", "emptyDir": {}}]},
            {("spec.containers[0].volumeMounts[0].mountPath", *REQUIRED)},
        ),
        (
            {"containers": [container()], "volumes": [{"name": "data", "emptyDir": {}}] * 2},
            {("spec.volumes[1].name", "FieldValueDuplicate", 'Duplicate value: "data"')},
        ),
    ],
)
def test_a_dry_run_rejects_a_wrong_template(api, namespace, spec, causes):
    answer = api.post(pods(namespace), pod("web", spec=spec), dryRun="All")
    assert answer.causes() == causes
    assert answer.body["message"].startswith('Pod "web" is invalid: ')
    assert api.names(pods(namespace)) == []


@pytest.mark.parametrize("spec", [{"containers": "main"}, {"containers": [container(name=1)]}, "main"])
def test_a_template_of_wrong_types_is_rejected(api, namespace, spec):
    answer = api.post(pods(namespace), pod("web", spec=spec), dryRun="All")
    assert answer.code in (400, 422)
    assert answer.body["reason"] in ("BadRequest", "Invalid")
    assert "Pod" in answer.body["message"]


def test_a_dry_run_of_a_right_template_stores_nothing(api, namespace):
    mounts = [{"name": "data", "mountPath": "/data"}]
    spec = {"containers": [container(volumeMounts=mounts)], "volumes": [{"name": "data", "emptyDir": {}}]}
    made = api.post(pods(namespace), pod("web", spec=spec | {"restartPolicy": "Never"}), dryRun="All").ok()
    assert made["spec"]["restartPolicy"] == "Never"
    assert api.names(pods(namespace)) == []
