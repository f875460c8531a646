"""Every form a kubeconfig takes, and what is said of one that leads nowhere."""

import base64
from pathlib import Path

import pytest
import yaml

from quorate.access.kubeconfig import KubeconfigError, in_cluster, load

SECRET = "s"


def config(server: str = "https://api:6443", name: str = "prod", **user: object) -> dict:
    return {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-user", "namespace": "shop"}}],
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": f"{name}-user", "user": user}],
    }


def write(file: Path, content: object) -> str:
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_current_context_with_a_token(file):
    login = load(write(file, config(token=SECRET)), None, {})
    assert (login.server, login.user, login.namespace) == ("https://api:6443", "prod-user", "shop")
    assert login.credentials.token == SECRET
    assert login.origin == f"context prod of kubeconfig {file}"


def test_another_context_by_name(file):
    content = config()
    content["contexts"].append({"name": "lab", "context": {"cluster": "prod"}})
    login = load(write(file, content), "lab", {})
    assert (login.namespace, login.user) == ("default", "")


def test_certificates_stand_in_the_file_or_beside_it(file, tmp_path):
    (tmp_path / "ca.pem").write_text("CA")
    content = config(**{"client-certificate-data": b64("CERT"), "client-key": "key.pem"})
    (tmp_path / "key.pem").write_text("KEY")
    content["clusters"][0]["cluster"]["certificate-authority"] = "ca.pem"
    login = load(write(file, content), None, {})
    assert (login.authority, login.credentials.certificate, login.credentials.key) == (b"CA", b"CERT", b"KEY")


def test_a_token_file_is_relative_to_the_kubeconfig(file, tmp_path):
    assert load(write(file, config(tokenFile="token")), None, {}).credentials.token_file == tmp_path / "token"


def test_name_and_password_and_impersonation(file):
    credentials = load(write(file, config(**{"username": "ada", "password": "x", "as": "bob"})), None, {}).credentials
    assert (credentials.username, credentials.password, credentials.impersonate) == ("ada", "x", {"as": "bob"})


def test_what_belongs_to_the_connection(file):
    content = config()
    content["clusters"][0]["cluster"] |= {
        "insecure-skip-tls-verify": True,
        "tls-server-name": "kubernetes",
        "proxy-url": "http://proxy:3128",
    }
    login = load(write(file, content), None, {})
    assert (login.insecure, login.server_name, login.proxy) == (True, "kubernetes", "http://proxy:3128")


def test_a_plugin_with_a_path_is_relative_to_the_kubeconfig(file, tmp_path):
    plugin = load(write(file, config(exec={"command": "./bin/login"})), None, {}).credentials.exec
    assert plugin["command"] == str(tmp_path / "bin/login")
    plain = load(write(file, config(exec={"command": "login"})), None, {}).credentials.exec
    assert plain["command"] == "login"


class TestWhichFile:
    def test_the_option_wins_over_the_environment(self, tmp_path):
        chosen = write(tmp_path / "a", config("https://a"))
        other = write(tmp_path / "b", config("https://b"))
        assert load(chosen, None, {"KUBECONFIG": other}).server == "https://a"

    def test_several_files_are_merged_and_the_first_to_name_a_thing_wins(self, tmp_path):
        first = write(tmp_path / "a", {**config("https://a"), "current-context": ""})
        second = write(tmp_path / "b", config("https://b"))
        third = write(tmp_path / "c", config("https://c", name="lab"))
        listed = {"KUBECONFIG": f"{first}:{tmp_path / 'missing'}:{second}:{third}"}
        assert load(None, None, listed).server == "https://a"
        assert load(None, "lab", listed).server == "https://c"

    def test_the_usual_place(self, tmp_path):
        (tmp_path / ".kube").mkdir()
        write(tmp_path / ".kube" / "config", config("https://home"))
        assert load(None, None, {"HOME": str(tmp_path)}).server == "https://home"

    def test_in_a_pod_without_one_the_service_account(self, tmp_path):
        for name, text in {"ca.crt": "CA", "namespace": "quorate-system\n", "token": "t"}.items():
            (tmp_path / name).write_text(text)
        login = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path)
        assert login.server == "https://[fd00::1]:6443"
        assert login.namespace == "quorate-system"
        assert login.credentials.token_file == tmp_path / "token"

    def test_in_a_pod_without_a_service_account_it_says_so(self, tmp_path):
        with pytest.raises(KubeconfigError, match=r"ServiceAccount of this Pod: .*ca\.crt cannot be read"):
            in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)


def proxied(url: str) -> dict:
    content = config()
    content["clusters"][0]["cluster"]["proxy-url"] = url
    return content


def without(content: dict, section: str) -> dict:
    return {**content, section: []}


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        ("{", None, "this is not YAML in line 1. Repair the file or name another"),
        ("just words", None, "there is no configuration in it"),
        ("", None, "there is no configuration in it"),
        ({**config(), "current-context": ""}, None, "current-context is empty. Choose a context with --context"),
        (config(), "lab", "--context names 'lab', and contexts has no such entry (known: prod)"),
        (without(config(), "contexts"), None, "contexts has no such entry (there is none)"),
        (without(config(), "clusters"), None, "contexts[prod].cluster names 'prod', and clusters has no such entry"),
        (without(config(), "users"), None, "contexts[prod].user names 'prod-user', and users has no such entry"),
        (config(server="api:6443"), None, "clusters[prod].server is 'api:6443'. It must be a URL"),
        (proxied("socks5://proxy:1080"), None, "clusters[prod].proxy-url is 'socks5://proxy:1080'. Only http and https"),
        ({**config(), "users": "x"}, None, "users is not a list"),
        ({**config(), "clusters": [{"cluster": {}}]}, None, "an entry of clusters has no name"),
        (config(**{"client-key": "nowhere.pem"}), None, "users[prod-user].client-key: "),
        (config(**{"client-key-data": "?"}), None, "users[prod-user].client-key-data is not base64"),
        (config(**{"auth-provider": {"name": "gcp"}}), None, "users[prod-user].auth-provider is no longer known"),
    ],
)  # fmt: skip
def test_a_kubeconfig_that_leads_nowhere_names_file_field_finding_and_remedy(file, content, context, said):
    with pytest.raises(KubeconfigError) as refused:
        load(write(file, content), context, {})
    assert str(file) in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("path", "environ", "said"),
    [
        ("/nowhere/config", {}, "kubeconfig /nowhere/config (from --kubeconfig): there is no such file"),
        (None, {"KUBECONFIG": "/nowhere/a:/nowhere/b"}, "/nowhere/a, /nowhere/b (from $KUBECONFIG)"),
        (None, {"HOME": "/nowhere"}, "/nowhere/.kube/config: there is no such file, and neither --kubeconfig nor"),
    ],
)
def test_no_file_at_all(path, environ, said):
    with pytest.raises(KubeconfigError) as refused:
        load(path, None, environ)
    assert said in str(refused.value)
