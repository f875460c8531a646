"""Credential plugins of a kubeconfig (`users[].user.exec`): a program is run and says who we are.

The protocol is client-go's: an ExecCredential goes in as $KUBERNETES_EXEC_INFO, and one comes back on standard output.
"""

import base64
import json
import os
import subprocess
import sys
from typing import Any, Final

from quorate.access.kubeconfig import Credentials, KubeconfigError, Login, Section

PATIENCE_S: Final = 120.0
"""A plugin may wait for a person to sign in."""


def ask(login: Login, plugin: Section) -> Credentials:
    """Run the plugin. Raises KubeconfigError, naming the program and what it said."""
    command = str(plugin.get("command") or "")
    where = f"{login.origin}: the credential plugin {command!r} of user {login.user}"
    version = str(plugin.get("apiVersion") or "")
    interactive = sys.stdin.isatty() and plugin.get("interactiveMode") != "Never"
    if plugin.get("interactiveMode") == "Always" and not interactive:
        raise KubeconfigError(f"{where} needs a terminal. Sign in on one first")
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.get("provideClusterInfo"):
        authority = base64.b64encode(login.authority).decode()
        spec["cluster"] = {
            "server": login.server,
            "insecure-skip-tls-verify": login.insecure,
            "certificate-authority-data": authority,
        }
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    variables = {str(one.get("name")): str(one.get("value")) for one in plugin.get("env") or []}
    try:
        ended = subprocess.run(
            [command, *(str(argument) for argument in plugin.get("args") or [])],
            env={**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=True,
        )
        status = json.loads(ended.stdout)["status"]
    except OSError as error:
        hint = str(plugin.get("installHint") or "Install it, or name its full path").strip()
        raise KubeconfigError(f"{where} cannot be run ({error.strerror}). {hint}") from error
    except subprocess.CalledProcessError as error:
        raise KubeconfigError(f"{where} ended with exit code {error.returncode}. Run it by hand to see why") from error
    except subprocess.TimeoutExpired as error:
        raise KubeconfigError(f"{where} did not answer within {PATIENCE_S:g}s. Run it by hand to see why") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KubeconfigError(f"{where} did not print an ExecCredential with a status. Update it") from error
    return Credentials(
        token=str(status.get("token") or ""),
        certificate=str(status.get("clientCertificateData") or "").encode(),
        key=str(status.get("clientKeyData") or "").encode(),
        impersonate=login.credentials.impersonate,
    )
