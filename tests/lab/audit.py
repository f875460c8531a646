"""What an API server was asked by whom: its own audit log, against what roles grant."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from quorate.lab.control_plane import find_programs

Json = Any
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:serviceaccounts:quorate-system", "system:serviceaccounts:quorate-agents"]}
- {level: None}
"""


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, for one ServiceAccount; the namespace of a Role, "" of a ClusterRole."""

    account: str
    namespace: str
    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.account}: {self.verb} {self.resource}{'.' + self.group if self.group else ''}{where}"


@contextmanager
def audited(directory: Path) -> Iterator[Path]:
    """Real API servers that are started now keep an audit log: the file, of JSON lines."""
    programs = find_programs(os.environ)
    directory.mkdir(parents=True, exist_ok=True)
    log, policy = directory / "audit.log", directory / "policy.yaml"
    policy.write_text(POLICY)
    for one in (programs.etcd, programs.kube_controller_manager):
        if one is not None:
            (directory / one.name).symlink_to(one)
    wrapper = directory / "kube-apiserver"
    flags = f"--audit-policy-file={policy} --audit-log-path={log} --audit-log-mode=blocking"
    wrapper.write_text(f'#!/bin/sh\nexec {programs.kube_apiserver} "$@" {flags}\n')
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBEBUILDER_ASSETS", str(directory))
        yield log


def requests(log: Path) -> list[Json]:
    """Those that were answered, of resources. A last line that is being written is left out."""
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [one for one in map(json.loads, lines) if "objectRef" in one]


def said(one: Json) -> str:
    """A request in words, for whoever reads why a test failed."""
    about = one["objectRef"]
    resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
    name = "/".join(filter(None, (about.get("namespace"), about.get("name"))))
    status = one.get("responseStatus") or {}
    return (
        f"{one['user']['username']}: {one['verb']} {resource} {name}: {status.get('code')} {status.get('message', '')}"
    )


def used(log: Path, account: str) -> Iterator[tuple[str, str, str, str]]:
    """(namespace, group, resource, verb) of everything that it asked."""
    for one in requests(log):
        if one["user"]["username"] == f"system:serviceaccount:{account}":
            about = one["objectRef"]
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            yield about.get("namespace", ""), about.get("apiGroup", ""), resource, one["verb"]


def unused(rights: Iterable[Right], log: Path) -> list[Right]:
    """Those that no request needed."""
    rights = list(rights)
    asked = {account: set(used(log, account)) for account in {one.account for one in rights}}

    def needed(right: Right) -> bool:
        return any(
            (group, resource, verb) == (right.group, right.resource, right.verb) and right.namespace in ("", namespace)
            for namespace, group, resource, verb in asked[right.account]
        )

    return sorted(one for one in rights if not needed(one))


def granted(*files: Path) -> Iterator[Right]:
    """Each verb on each resource that the bindings in these files give to a ServiceAccount."""
    objects = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    roles = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects}
    for binding in objects:
        if not binding["kind"].endswith("Binding"):
            continue
        namespace, role = binding["metadata"].get("namespace", ""), binding["roleRef"]
        rules = roles[role["kind"], namespace if role["kind"] == "Role" else "", role["name"]]["rules"]
        for subject in binding["subjects"]:
            account = f"{subject['namespace']}:{subject['name']}"
            for rule in rules:
                yield from (
                    Right(account, namespace, group, resource, verb)
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                )
