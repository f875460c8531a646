"""Credential plugins, as real programs."""

import json
import sys
from dataclasses import replace

import pytest

from quorate.access import exec_plugin
from quorate.access.kubeconfig import Credentials, KubeconfigError, Login

LOGIN = Login("https://api:6443", "context prod of kubeconfig x", "ada", authority=b"CA")


def plugin(code: str, **more: object) -> dict:
    version = "client.authentication.k8s.io/v1"
    return {"apiVersion": version, "command": sys.executable, "args": ["-c", code], **more}


def printing(status: dict) -> str:
    return f"print({json.dumps(json.dumps({'status': status}))})"


def test_it_says_who_we_are():
    found = exec_plugin.ask(LOGIN, plugin(printing({"token": "t"})))
    assert found == Credentials("t")


def test_it_may_answer_with_a_certificate():
    found = exec_plugin.ask(LOGIN, plugin(printing({"clientCertificateData": "CERT", "clientKeyData": "KEY"})))
    assert (found.certificate, found.key) == (b"CERT", b"KEY")


def test_it_is_told_what_client_go_tells_it():
    code = """
import json, os
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
said = [info["kind"], info["spec"]["interactive"], info["spec"]["cluster"]["server"], os.environ["REGION"]]
print(json.dumps({"status": {"token": json.dumps(said)}}))
"""
    asked = plugin(code, provideClusterInfo=True, env=[{"name": "REGION", "value": "eu"}])
    token = exec_plugin.ask(LOGIN, asked).token
    assert json.loads(token) == ["ExecCredential", False, "https://api:6443", "eu"]


def test_impersonation_outlives_it():
    login = replace(LOGIN, credentials=Credentials(impersonate={"as": "bob"}))
    assert exec_plugin.ask(login, plugin(printing({"token": "t"}))).impersonate == {"as": "bob"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"command": "/nowhere/login", "installHint": "Get it from ops"},
            r"cannot be run \(No such file.*Get it from ops",
        ),
        ({"command": "/nowhere/login"}, "Install it, or name its full path"),
        (plugin("raise SystemExit(3)"), "ended with exit code 3. Run it by hand"),
        (plugin("print('hello')"), "did not print an ExecCredential with a status"),
        (plugin("print('{}')"), "did not print an ExecCredential with a status"),
        (plugin("", interactiveMode="Always"), "needs a terminal"),
    ],
)
def test_one_that_does_not_answer_is_named(asked, said):
    with pytest.raises(KubeconfigError, match=said) as refused:
        exec_plugin.ask(LOGIN, asked)
    assert "of user ada" in str(refused.value)


def test_one_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(exec_plugin, "PATIENCE_S", 0.2)
    with pytest.raises(KubeconfigError, match=r"did not answer within 0\.2s"):
        exec_plugin.ask(LOGIN, plugin("import time; time.sleep(60)"))
