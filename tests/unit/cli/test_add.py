"""`quorate add`: what is written, and what is refused before anything is."""

import pytest

from quorate.core.status import StorageStatus
from tests.unit.cli.stub import Answer
from tests.unit.view import pictures

GUESTS = "/apis/quorate.dev/v1alpha1/namespaces/shop/haresources"


def test_an_image(run, prod):
    ended = run("add", "api", "--image", "nginx:1.29")
    assert ended.code == 0
    assert ended.out == "ct:shop/api is under HA. Next: it is started; watch it with quorate status -w\n"
    (write,) = prod.writes
    assert (write.method, write.path) == ("POST", GUESTS)
    assert write.query == {"fieldManager": ["quorate-cli"]}
    assert write.body == {
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "HAResource",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"guest": {"container": {"spec": {"containers": [{"name": "api", "image": "nginx:1.29"}]}}}},
    }


def test_every_option(run, prod):
    line = "add lab/api --image busybox --max-restart 0 --max-relocate 3 --state stopped --comment hi --cluster prod"
    assert run(*line.split(), "--", "sh", "-c", "sleep 9").out.startswith(
        "ct:lab/api is under HA. Next: it is kept stopped"
    )
    spec = prod.writes[0].body["spec"]
    assert spec["guest"]["container"]["spec"]["containers"][0]["command"] == ["sh", "-c", "sleep 9"]
    rest = {key: value for key, value in spec.items() if key != "guest"}
    assert rest == {"maxRestart": 0, "maxRelocate": 3, "state": "Stopped", "comment": "hi", "clusterName": "prod"}


def test_a_file(run, prod, tmp_path):
    file = tmp_path / "pod.yaml"
    file.write_text("{kind: Pod, metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}")
    assert run("add", "api", "-f", str(file), "--storage", "media:/srv").code == 0
    spec = prod.writes[0].body["spec"]
    assert spec["guest"]["container"]["metadata"] == {"labels": {"a": "b"}}
    assert spec["storage"] == [{"name": "media", "path": "/srv"}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("add api", "what should it run? Give either --image IMAGE or -f FILE"),
        ("add api --image x -f y", "what should it run?"),
        ("add api -f pod.yaml -- sh", "a COMMAND belongs to --image"),
        ("add api --image x --storage media", "--storage: 'media' is not NAME:PATH"),
        ("add api --image x --storage :/srv", "is not NAME:PATH"),
        ("add api --image x --storage media:srv", "is not NAME:PATH"),
        ("add qm:9 --image x", "its kind is 'qm'"),
    ],
)
def test_a_command_line_that_cannot_be_followed(run, prod, line, said):
    ended = run(*line.split())
    assert ended.code == 64
    assert said in ended.err
    assert not prod.writes


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("restartPolicy: Always", "spec.guest.container.spec.restartPolicy is Always"),
        ("nodeName: n1", "spec.guest.container.spec.nodeName is set: Quorate chooses the node"),
    ],
)
def test_a_template_that_can_never_run_is_not_written(run, prod, tmp_path, spec, said):
    file = tmp_path / "pod.yaml"
    file.write_text(f"{{spec: {{containers: [{{name: c, image: i}}], {spec}}}}}")
    ended = run("add", "api", "-f", str(file))
    assert ended.code == 1
    assert said in ended.err
    assert not prod.writes


class TestWhatItWaitsFor:
    def test_a_storage_that_is_not_there(self, run, prod):
        ended = run("add", "api", "--image", "x", "--storage", "nfs:/srv")
        assert ended.code == 0
        assert ended.err == (
            "note: it cannot start yet: spec.storage[0].name: no Storage is named 'nfs' (known: media)\n"
        )
        assert "it is started once that is mended" in ended.out
        assert len(prod.writes) == 1

    def test_a_storage_that_another_namespace_may_use(self, run, prod):
        assert "does not allow namespace lab" in run("add", "lab/api", "--image", "x", "--storage", "media:/srv").err

    def test_a_storage_whose_claim_is_missing(self, run, prod):
        prod.put(pictures.storage("media", StorageStatus(state="Missing", message="the claim is gone: create it")))
        assert "the claim is gone: create it" in run("add", "api", "--image", "x", "--storage", "media:/srv").err

    def test_a_cluster(self, run, stub):
        ended = run("add", "api", "--image", "x")
        assert ended.code == 0
        assert "it cannot start yet: there is no Cluster. Make one: quorate cluster create NAME" in ended.err

    def test_one_of_several_clusters(self, run, prod):
        prod.put(pictures.cluster(name="lab"))
        assert "Name one of them with --cluster" in run("add", "api", "--image", "x").err
        assert run("add", "api", "--image", "x", "--cluster", "lab").err == ""


def test_a_guest_that_is_there_already(run, prod):
    prod.answer("POST", GUESTS, Answer(409, {"reason": "AlreadyExists", "message": "exists"}))
    ended = run("add", "web", "--image", "x")
    assert ended.code == 1
    assert (
        ended.err == "error: ct:shop/web is under HA already. Change it with quorate set, see it with quorate status\n"
    )


def test_a_namespace_that_is_not_there(run, prod):
    refused = {"reason": "NotFound", "message": 'namespaces "shop" not found', "details": {"name": "shop"}}
    prod.answer("POST", GUESTS, Answer(404, refused))
    assert "Make it: kubectl create namespace shop" in run("add", "web", "--image", "x").err


def test_what_the_api_server_refuses_is_in_its_words(run, prod):
    prod.answer("POST", GUESTS, Answer(422, {"reason": "Invalid", "message": "spec.comment: Too long"}))
    ended = run("add", "web", "--image", "x")
    assert (ended.code, ended.err) == (1, "error: spec.comment: Too long\n")
