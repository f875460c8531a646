import io

import pytest

from quorate.access import adding
from quorate.access.errors import UsageError
from quorate.cli import template

CONTAINERS = "containers: [{name: web, image: nginx}]"


def written(tmp_path, text: str) -> str:
    file = tmp_path / "pod.yaml"
    file.write_text(text)
    return str(file)


def test_an_image_becomes_one_container_named_like_the_guest():
    assert adding.from_image("web", "nginx", []) == {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}


def test_what_stands_after_two_dashes_is_its_command():
    (container,) = adding.from_image("web", "busybox", ["sleep", "9"])["spec"]["containers"]
    assert container["command"] == ["sleep", "9"]


@pytest.mark.parametrize(
    "text",
    [
        f"{{kind: Pod, metadata: {{name: x, labels: {{a: b}}, uid: y}}, spec: {{{CONTAINERS}}}}}",
        f"{{metadata: {{labels: {{a: b}}}}, spec: {{{CONTAINERS}}}}}",
        f"{{kind: PodTemplate, template: {{metadata: {{labels: {{a: b}}}}, spec: {{{CONTAINERS}}}}}}}",
    ],
    ids=["a Pod", "a bare template", "a PodTemplate"],
)
def test_a_pod_or_a_template_keeps_what_a_template_may_have(tmp_path, text):
    assert template.from_file(written(tmp_path, text)) == {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    }


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"spec: {{{CONTAINERS}}}"))
    assert template.from_file("-")["spec"]["containers"][0]["name"] == "web"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Deployment", "kind is Deployment, which is no Pod: give a file with its spec.template"),
        ("kind: HAResource", "apply it as it is: kubectl apply -f"),
        ("kind: ConfigMap", "give a Pod or a pod template"),
        ("kind: Pod", "spec.containers is missing"),
        ("spec: {containers: web}", "spec.containers is missing"),
        ("a: {", "this is not YAML in line 1"),
        ("", "it holds 0 objects"),
        ("a: 1\n---\nb: 2", "it holds 2 objects"),
        ("- a", "Give exactly one Pod"),
    ],
)
def test_what_is_no_pod_names_file_finding_and_remedy(tmp_path, text, said):
    file = written(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        template.from_file(file)
    assert file in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_is_not_there():
    with pytest.raises(UsageError, match=r"-f /nowhere: it cannot be read \(No such file"):
        template.from_file("/nowhere")
