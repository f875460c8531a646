"""What this machine has for kind: docker, kind, kubectl, images; from the rig, which builds what is missing, or from PATH.

The rig is a directory in $QUORATE_KIND_RIG with the commands docker-up, python-image-build and kind-up.
"""

import os
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quorate.lab.control_plane import find

ROOT: Final = Path(__file__).parents[2]
PYTHON_IMAGE: Final = "python:3.11-slim-bookworm"
"""What operator/Dockerfile starts from."""
BUILD_S: Final = 1200.0
"""The rig compiles Kubernetes when its cache is empty."""


class KindError(Exception):
    """A command failed; the message has its own words."""


class LackingError(Exception):
    """This machine lacks something; the message says what, and how to get it."""


def run(
    *command: str | Path,
    codes: Collection[int] = (0,),
    limit_s: float = 120.0,
    environ: Mapping[str, str] | None = None,
) -> str:
    """What it printed. Raises KindError with what it said when it ends with another exit code, or takes too long."""
    line = " ".join(str(part) for part in command)
    try:
        ended = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise KindError(f"{line}: no end after {limit_s:g}s") from error
    except OSError as error:
        raise KindError(f"{line}: {error}") from error
    if ended.returncode not in codes:
        raise KindError(f"{line}: exit code {ended.returncode}: {(ended.stderr + ended.stdout).strip()[-2000:]}")
    return ended.stdout


@dataclass(frozen=True, slots=True)
class Machine:
    """Its programs. `rig`: the directory of scripts that bring clusters up, None without."""

    kind: Path
    kubectl: Path
    rig: Path | None


def prepare() -> Machine:
    """Build and start what is missing, as far as the rig goes. Raises LackingError."""
    rig = _rig()
    if rig is not None:
        for script in ("docker-up", "node-image-build", "python-image-build"):
            _script(rig / script)
    try:
        run("docker", "info", limit_s=30)
    except KindError as error:
        raise LackingError(f"kind needs a docker daemon that answers: start one, or set RIG ({error})") from error
    if rig is None:
        _have(PYTHON_IMAGE)
    return Machine(kind=_program("kind"), kubectl=_program("kubectl"), rig=rig)


def _rig() -> Path | None:
    text = os.environ.get("QUORATE_KIND_RIG")
    if not text:
        return None
    if not (Path(text) / "kind-up").is_file():
        raise LackingError(f"QUORATE_KIND_RIG: {text} has no kind-up: set it to the rig's directory, or unset it")
    return Path(text)


def _script(script: Path) -> None:
    try:
        run(script, limit_s=BUILD_S)
    except KindError as error:
        raise LackingError(f"the rig could not bring up what is missing: {error}") from error


def _program(name: str) -> Path:
    found = find(name, os.environ)
    if found is None:
        raise LackingError(
            f"{name} is neither on PATH nor in the cache: install it, or set RIG to a rig that builds it"
        )
    return found


def _have(image: str) -> None:
    """The image is here, or can be pulled."""
    try:
        run("docker", "image", "inspect", image)
    except KindError:
        try:
            run("docker", "pull", image, limit_s=300)
        except KindError as error:
            raise LackingError(
                f"image {image} is neither here nor can it be pulled: load it, or set RIG to a rig that builds it ({error})"
            ) from error
