"""Storage (`qs`): a place where guests' disks live."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from quorate.api.common import Column, Conditions, LabelSelector, Model, Name, ObjectName, Resource, rule
from quorate.core.types import StorageType


class Claim(Model):
    """A PersistentVolumeClaim."""

    namespace: Name
    """Its namespace; only guests there can mount it."""
    name: ObjectName
    """Its name."""


class Local(Model):
    """A directory of the node."""

    path: Annotated[str, Field(min_length=2, max_length=1024, pattern=r"^/[^:]+$")]
    """Absolute path on every node that has it."""


class StorageSpec(Model):
    """What is wished."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("has(self.claim) == (self.type == 'Claim')", "claim belongs to type Claim, and only to it"),
                rule("has(self.local) == (self.type == 'Local')", "local belongs to type Local, and only to it"),
                rule("self.type == oldSelf.type", "type is immutable: guests' data would be elsewhere"),
            ]
        }
    )

    type: StorageType
    """Claim: a PersistentVolumeClaim, which goes where the guest goes. Local: a directory of each node, which does
    not."""
    claim: Claim | None = None
    """The claim of type Claim."""
    local: Local | None = None
    """The directory of type Local."""
    nodes: LabelSelector | None = None
    """The nodes that have it; absent: all. Others are no candidates for its guests."""
    allowed_namespaces: Annotated[
        list[Name], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = []
    """The namespaces whose guests may use it; none unless listed."""
    disabled: bool = False
    """No guest starts with it."""


class StorageStatusModel(Model):
    """What was seen and done."""

    shared: bool = False
    """Whether it follows a guest to another node."""
    nodes: str = ""
    """Worker nodes that have it / all."""
    used_by: Annotated[list[str], Field(max_length=64)] = []
    """The guests that name it."""
    state: str = ""
    """Available, Missing, Disabled or Deleting."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """One sentence."""
    observed_generation: int = 0
    """The generation of the spec that this status answers."""
    conditions: Conditions = []
    """Ready, Reconciling, Stalled."""


class Storage(Resource):
    """A place where guests' disks live. Deleting one in use waits for its guests."""

    plural: ClassVar[str] = "storages"
    singular: ClassVar[str] = "storage"
    short_names: ClassVar[tuple[str, ...]] = ("qs",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Type", ".spec.type"),
        Column("Shared", ".status.shared", "boolean"),
        Column("Nodes", ".status.nodes"),
        Column("Status", ".status.state"),
        Column("Why", ".status.message", wide=True),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    spec: StorageSpec
    """What is wished."""
    status: StorageStatusModel | None = None
    """What was seen and done."""
