"""How an API server refuses: an error that carries the `Status` object, in the words of the real one (measured on 1.34)."""

from collections.abc import Sequence

from quorate.api.schema import Cause, Json


class ApiError(Exception):
    """A refused request. `status` is what the client gets, with this HTTP `code`."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.status |= {"message": message, "reason": reason, "details": details or {}, "code": code}


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: the object breaks rules."""
    texts = list(dict.fromkeys(f"{one.field}: {one.text}" for one in causes))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    found = [{"reason": f"FieldValue{one.reason}", "message": one.text, "field": one.field} for one in causes]
    details = {"name": name, "group": group, "kind": kind, "causes": found}
    return ApiError(422, "Invalid", f'{kind}{group and "." + group} "{name}" is invalid: {text}', details)
