"""Storage (`qs`): a place where guests' disks live."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from quorate.api.common import Column, Conditions, LabelSelector, Model, Name, ObjectName, Resource, rule
from quorate.core.types import Content, OnLoss, StorageType


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


class Nfs(Model):
    """A directory that an NFS server exports."""

    server: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$")]
    """Host name or address, as every node can resolve it."""
    export: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^\x00-\x20\x7f:,]*$")]
    """The directory that it exports."""
    options: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:=/-]+$")]],
        Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = []
    """Options of mount.nfs, one each, such as nfsvers=4.2 or hard. A port= or mountport= is where agents look as well."""


class VolumeClass(Model):
    """A StorageClass: each guest gets a claim of its own, which stays when the guest goes."""

    name: ObjectName
    """Name of the StorageClass."""
    size: Annotated[str, Field(max_length=16, pattern=r"^[1-9][0-9]*(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$")] = "8Gi"
    """How much a claim asks for when it is made."""
    access_mode: Annotated[
        str, Field(json_schema_extra={"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]})
    ] = "ReadWriteOnce"
    """How a claim is to be mounted."""


class StorageSpec(Model):
    """What is wished."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("has(self.claim) == (self.type == 'Claim')", "claim belongs to type Claim, and only to it"),
                rule("has(self.local) == (self.type == 'Local')", "local belongs to type Local, and only to it"),
                rule("has(self.nfs) == (self.type == 'NFS')", "nfs belongs to type NFS, and only to it"),
                rule(
                    "has(self.storageClass) == (self.type == 'StorageClass')",
                    "storageClass belongs to type StorageClass, and only to it",
                ),
                rule("self.type == oldSelf.type", "type is immutable: guests' data would be elsewhere"),
                rule(
                    "has(self.nfs) == has(oldSelf.nfs) && (!has(self.nfs) || self.nfs == oldSelf.nfs)",
                    "nfs is immutable, as the volumes made of it are: add another Storage",
                ),
            ]
        }
    )

    type: StorageType
    """NFS: a directory of an NFS server, of which a volume and a claim are made in each namespace that uses it. Claim: a
    PersistentVolumeClaim that is there. StorageClass: each guest gets a claim of its own. These go where the guest goes.
    Local: a directory of each node, which does not."""
    nfs: Nfs | None = None
    """The export of type NFS."""
    storage_class: VolumeClass | None = None
    """The class of type StorageClass."""
    claim: Claim | None = None
    """The claim of type Claim."""
    local: Local | None = None
    """The directory of type Local."""
    content: Annotated[
        list[Content], Field(min_length=1, max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = [Content.IMAGES, Content.ROOT_DIR]
    """What it may be used for. RootDir: volumes of containers. Images: disks of virtual machines. ISO: containers mount
    it read-only, where RootDir is not said as well."""
    on_loss: OnLoss = OnLoss.IGNORE
    """What becomes of a guest on a node whose agent does not reach this NFS Storage any more. Ignore: its condition
    StorageReached says so. Relocate: after a minute it is also moved to a node that reaches it, if there is one."""
    nodes: LabelSelector | None = None
    """The nodes that have it; absent: all. Others are no candidates for its guests."""
    allowed_namespaces: Annotated[
        list[Name], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = []
    """The namespaces whose guests may use it; none unless listed."""
    disabled: bool = False
    """No guest starts with it."""


class UnreachedModel(Model):
    """A node that does not reach it."""

    node: Annotated[str, Field(max_length=253)]
    """The node."""
    why: Annotated[str, Field(max_length=256)] = ""
    """What its agent met."""


class VolumeModel(Model):
    """What is made of an NFS Storage in one namespace that uses it."""

    namespace: Annotated[str, Field(max_length=63)]
    """The namespace."""
    volume: Annotated[str, Field(max_length=253)]
    """Name of the PersistentVolume."""
    claim: Annotated[str, Field(max_length=253)]
    """Name of the PersistentVolumeClaim."""
    problem: Annotated[str, Field(max_length=1024)] = ""
    """Why guests cannot use it yet; absent once they can."""


class StorageStatusModel(Model):
    """What was seen and done."""

    shared: bool = False
    """Whether it follows a guest to another node."""
    content: str = ""
    """What it may be used for."""
    nodes: str = ""
    """Worker nodes that have it / all. NFS: nodes whose agent reaches it / nodes that should; ? while none has looked."""
    unreached: Annotated[list[UnreachedModel], Field(max_length=32)] = []
    """The nodes whose agent does not reach it, and why."""
    used: str = ""
    """How full it is, where its server says so without a mount; it follows in steps of 5 percent."""
    volumes: Annotated[list[VolumeModel], Field(max_length=256)] = []
    """The volumes and claims that are made of an NFS Storage. They are recorded here before they are made."""
    used_by: Annotated[list[str], Field(max_length=64)] = []
    """The guests that name it."""
    state: str = ""
    """Available; Degraded: some nodes do not reach it, or a namespace has no claim; Unreachable: none reaches it; Missing:
    its claim or class does not exist; Disabled; Deleting."""
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
        Column("Content", ".status.content", wide=True),
        Column("Nodes", ".status.nodes"),
        Column("Used", ".status.used"),
        Column("Status", ".status.state"),
        Column("Why", ".status.message", wide=True),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    rules: ClassVar[tuple[JsonDict, ...]] = (
        rule("self.metadata.name.size() <= 63", "the name becomes part of others and a label: at most 63 characters"),
    )

    spec: StorageSpec
    """What is wished."""
    status: StorageStatusModel | None = None
    """What was seen and done."""
