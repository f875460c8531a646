"""What the four kinds share: the base model, durations, selectors, conditions, and what a CRD has beside its schema."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from quorate.core.timing import DURATION_PATTERN, parse_duration
from quorate.core.types import EvidenceKind

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


def _duration(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=16), AfterValidator(_duration)]
Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME)]
Proof = Literal[
    EvidenceKind.DRAINED,
    EvidenceKind.NEW_BOOT,
    EvidenceKind.LEASE_EXPIRED,
    EvidenceKind.POWER_OFF,
    EvidenceKind.HUMAN_ACK,
    EvidenceKind.OUT_OF_SERVICE,
]
"""The kinds of evidence that a Cluster can name."""
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


def rule(expression: str, message: str = "", *, message_expression: str = "", path: str = "") -> JsonDict:
    """One CEL rule (`x-kubernetes-validations`)."""
    found = {"rule": expression, "message": message, "messageExpression": message_expression, "fieldPath": path}
    return {key: value for key, value in found.items() if value}


class Model(BaseModel):
    """camelCase on the wire, unknown fields refused, attribute docstrings are what `kubectl explain` shows."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class MatchExpression(Model):
    """One requirement on labels."""

    key: Annotated[str, Field(max_length=316)]
    """The label's key."""
    operator: Annotated[str, Field(json_schema_extra={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]})]
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] = []
    """The values of In and NotIn."""


class LabelSelector(Model):
    """Labels that must match; all of them."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = {}
    """Labels and the values they must have."""
    match_expressions: Annotated[list[MatchExpression], Field(max_length=32)] = []
    """Further requirements."""


class ConditionModel(Model):
    """One line of the object's state, in the form that kstatus, Argo CD and Flux read."""

    type: Annotated[str, Field(max_length=316)]
    """Ready, Reconciling, Stalled, or one of the kind's own."""
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=1024)]
    """One CamelCase word."""
    message: Annotated[str, Field(max_length=32768)]
    """One sentence: what was found, and what to do."""
    last_transition_time: Timestamp
    """When the status last changed."""
    observed_generation: int = 0
    """The generation of the spec that this was said of."""


Conditions = Annotated[
    list[ConditionModel],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column: `wide` ones appear with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    description: str = ""


class Resource(Model):
    """The root of a kind. `spec` and `status` are declared by the subclass."""

    model_config = ConfigDict(extra="ignore")

    plural: ClassVar[str]
    singular: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    namespaced: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]]
    rules: ClassVar[tuple[JsonDict, ...]] = ()
    selectable: ClassVar[tuple[str, ...]] = ()


def schema_extra(**extra: Any) -> Any:
    """Kubernetes extensions for one field."""
    return Field(json_schema_extra=extra)
