"""Structural schemas at work: what `crd.py` declares, applied to an object as an API server applies it.

`settle` prunes and defaults, `Schema.check` says what is wrong, in the words of kube-apiserver (measured on 1.34). JSON
schema is checked by jsonschema; CEL rules (`x-kubernetes-validations`) are asked only when the types are right. Rules are
looked for under properties: our kinds have none inside lists and maps. Two keywords of our own are for Kubernetes' own
kinds, whose words differ: `x-words` is what is said of a wrong value, `x-by-key` tells of a duplicate at its key.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import cel
from jsonschema import Draft4Validator, FormatChecker, ValidationError, validators

Json = dict[str, Any]
"""An object of the API, as JSON."""

OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""The schema of an object of which nothing is known and everything is kept."""

TEXT: Json = {"type": "string"}
_PART, _ENDS = "[a-z0-9]([-a-z0-9]*[a-z0-9])?", "and must start and end with an alphanumeric character (e.g. "
DNS_LABEL = TEXT | {"pattern": f"^(?=.{{1,63}}$){_PART}$"}
DNS_LABEL["x-words"] = (
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS}"
    f"'my-name',  or '123-abc', regex used for validation is '{_PART}')"
)
_NAME = TEXT | {"pattern": rf"^(?=.{{1,253}}$){_PART}(\.{_PART})*$"}
_NAME["x-words"] = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    rf"{_ENDS}'example.com', regex used for validation is '{_PART}(\.{_PART})*')"
)
_LABELS = {"type": "object", "additionalProperties": TEXT | {"pattern": r"^([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?$"}}
_ANNOTATIONS = {"type": "object", "additionalProperties": TEXT}
_OWNER = OPEN | {"required": ["apiVersion", "kind", "name", "uid"]}
_METADATA: Json = {"labels": _LABELS, "annotations": _ANNOTATIONS, "finalizers": {"type": "array", "items": TEXT}}
_METADATA |= {
    "ownerReferences": {"type": "array", "items": _OWNER},
    "name": _NAME,
    "generateName": TEXT,
    "namespace": TEXT,
}
_METADATA |= dict.fromkeys(("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"), TEXT)
_METADATA |= {name: {} for name in ("generation", "deletionGracePeriodSeconds", "managedFields", "selfLink")}
_COMMON: Json = {"apiVersion": TEXT, "kind": TEXT}
_COMMON["metadata"] = {"type": "object", "properties": _METADATA, "default": {}}
"""What every kind has, whatever its CRD says of it."""

_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_BODY = "Invalid value: {value}: {where} in body should "
_WORDS = {
    "required": ("Required", "Required value"),
    "type": ("TypeInvalid", 'Invalid value: "{name}": {where} in body must be of type {limit}: "{name}"'),
    "format": ("TypeInvalid", "Invalid value: {value}: {last} in body must be of type {limit}: {value}"),
    "enum": ("NotSupported", "Unsupported value: {value}: supported values: {choices}"),
    "maxLength": ("TooLong", "Too long: may not be more than {limit} bytes"),
    "maxItems": ("TooMany", "Too many: {size}: must have at most {limit} items"),
    "x-kubernetes-list-type": ("Duplicate", "Duplicate value: {value}"),
    "pattern": ("Invalid", _BODY + "match '{limit}'"),
    "minimum": ("Invalid", _BODY + "be greater than or equal to {limit}"),
    "maximum": ("Invalid", _BODY + "be less than or equal to {limit}"),
    "minLength": ("Invalid", _BODY + "be at least {limit} chars long"),
    "minItems": ("Invalid", _BODY + "have at least {limit} items"),
}
"""JSON schema keyword -> why and in which words a value that breaks it is refused."""
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
_FORMATS = FormatChecker(())


class Cause(NamedTuple):
    """One thing wrong with one field; `reason` without its prefix FieldValue."""

    field: str
    reason: str
    text: str = "Required value"


def wrong(field: str, value: object, text: str) -> Cause:
    """The value breaks a rule."""
    return Cause(field, "Invalid", f"Invalid value: {quoted(value)}: {text}")


def quoted(value: object) -> str:
    """A value as the server prints it: compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def dig(value: Any, path: str) -> Any:
    """What lies under a dotted path; None where there is nothing."""
    for key in path.split(".") if path else ():
        value = value.get(key) if isinstance(value, dict) else None
    return value


def settle(schema: Json, value: Any, unknown: list[str], path: str = "") -> Any:
    """A copy of the value without nulls and unknown fields, whose paths go to `unknown`, and with its defaults."""
    if isinstance(value, list):
        return [settle(schema.get("items", OPEN), one, unknown, f"{path}[{at}]") for at, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    known: Json = schema.get("properties", {})
    others = schema.get("additionalProperties", OPEN if "x-kubernetes-preserve-unknown-fields" in schema else None)
    unknown += [f"{path}.{key}".lstrip(".") for key in sorted(value) if known.get(key, others) is None]
    found = {key: inner["default"] for key, inner in known.items() if "default" in inner}
    found |= {key: one for key, one in value.items() if one is not None}
    schemas = {key: known.get(key, others) for key in found}
    return {
        key: settle(inner, found[key], unknown, f"{path}.{key}") for key, inner in schemas.items() if inner is not None
    }


class Schema:
    """The schema of one kind. Raises ValueError at once for a rule that cannot be read or lies inside a list or map."""

    def __init__(self, body: Json) -> None:
        self.body = body | {"properties": body.get("properties", {}) | _COMMON}
        self._validator = _Validator(self.body, format_checker=_FORMATS)
        self._rules = list(_rules(body, ""))

    def check(self, new: Json, old: Json | None) -> list[Cause]:
        """Everything that is wrong with an object; `old` is what it was, for rules about changes."""
        causes = [_cause(error) for error in self._validator.iter_errors(new)]
        if any(one.reason not in ("Invalid", "Duplicate") for one in causes):
            return [*causes, wrong("<nil>", None, _UNCHECKED)] if self._rules else causes
        return causes + [found for rule in self._rules for found in rule.check(new, old)]


@_FORMATS.checks("date-time", ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def _required(_: Any, names: list[str], value: Any, __: Json) -> Iterator[ValidationError]:
    yield from (ValidationError("", path=[name]) for name in names if isinstance(value, dict) and name not in value)


def _list_type(_: Any, kind: str, items: Any, schema: Json) -> Iterator[ValidationError]:
    seen: list[Any] = []
    for at, one in enumerate(items if isinstance(items, list) and kind != "atomic" else ()):
        by_key = schema.get("x-by-key")
        keys = schema.get("x-kubernetes-list-map-keys", ())
        found = dig(one, by_key) if by_key else {name: dig(one, name) for name in keys} if kind == "map" else one
        if found in seen:
            yield ValidationError("", path=[at, by_key] if by_key else [at], instance=found)
        seen.append(found)


_KEYWORDS = {"required": _required, "x-kubernetes-list-type": _list_type}
_Validator = validators.extend(Draft4Validator, _KEYWORDS)  # type: ignore[no-untyped-call]


def _cause(error: ValidationError) -> Cause:
    where = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in error.absolute_path)[1:]
    limit: Any = error.validator_value
    schema: Any = error.schema
    value, keyword = error.instance, str(error.validator)
    reason, words = _WORDS.get(keyword, ("Invalid", _BODY + f"hold to {keyword} {{limit}}"))
    if keyword == "pattern" and "x-words" in schema:
        return wrong(where, value, schema["x-words"])
    text = words.format(
        where=where,
        last=where.rpartition(".")[2],
        limit=limit,
        value=quoted(value),
        name=_NAMES.get(type(value), "null"),
        size=len(value) if isinstance(value, list) else 0,
        choices=", ".join(map(quoted, limit)) if keyword == "enum" else "",
    )
    return Cause(where, reason, text)


class _Rule(NamedTuple):
    """One CEL rule on the value at a path. One about a change is asked only when there was a value before."""

    path: str
    rule: cel.Program
    message: str
    says: cel.Program | None

    def check(self, new: Json, old: Json | None) -> Iterator[Cause]:
        known = {"self": dig(new, self.path), "oldSelf": dig(old, self.path)}
        if any(known.get(name, True) is None for name in self.rule.variables()):
            return
        context = cel.Context(known, {"format": lambda text, values: text % tuple(values)})
        try:
            if self.rule.execute(context):
                return
            text = self.says.execute(context) if self.says else self.message
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            text = f"{error} evaluating rule: {self.rule.source}"
        yield wrong(self.path or "<nil>", _NAMES[type(known["self"])], text)


def _rules(schema: Json, path: str) -> Iterator[_Rule]:
    for one in schema.get("x-kubernetes-validations", ()):
        says = one.get("messageExpression")
        yield _Rule(path, cel.compile(one["rule"]), one.get("message", ""), says and cel.compile(says))
    for name, inner in schema.get("properties", {}).items():
        yield from _rules(inner, f"{path}.{name}".lstrip("."))
    for word in ("items", "additionalProperties"):
        if word in schema and any(_rules(schema[word], path)):
            raise ValueError(f"{path}: CEL rules inside lists and maps are not applied; put them on a field around it")
