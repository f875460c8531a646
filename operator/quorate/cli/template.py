"""A guest's pod template, from a file with a Pod or a pod template."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from quorate.access.errors import UsageError

Template = dict[str, Any]
REMEDIES = {
    "HAResource": "apply it as it is: kubectl apply -f",
    "Deployment": "give a file with its spec.template",
    "StatefulSet": "give a file with its spec.template",
}


def from_file(file: str) -> Template:
    """The template in a file ("-": standard input). Raises UsageError, naming file, field and finding."""
    found = _parse(file)
    kind = found.get("kind", "")
    if kind == "PodTemplate":
        found = found.get("template") or {}
    elif kind not in {"", "Pod"}:
        remedy = REMEDIES.get(str(kind), "give a Pod or a pod template (metadata and spec)")
        raise UsageError(f"{file}: kind is {kind}, which is no Pod: {remedy}")
    spec = found.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(spec.get("containers"), list):
        raise UsageError(f"{file}: spec.containers is missing. A Pod or a pod template has at least one container")
    metadata = found.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    return {"metadata": kept, "spec": dict(spec)} if kept else {"spec": dict(spec)}


def _parse(file: str) -> Mapping[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except OSError as error:
        raise UsageError(f"-f {file}: it cannot be read ({error.strerror}). Name a file with a Pod") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"{file}: this is not YAML{line}. Write it as for kubectl apply") from error
    if len(documents) != 1 or not isinstance(documents[0], Mapping):
        raise UsageError(f"{file}: it holds {len(documents)} objects. Give exactly one Pod or pod template")
    return documents[0]
