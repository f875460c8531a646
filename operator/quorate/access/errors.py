"""What went wrong, as a person should hear it: the object, the field, what was found, what to do. And the exit code.

| code | means |
|---|---|
| 0 | done; `status`: healthy |
| 1 | refused or failed; `status`: degraded |
| 2 | `status`: not quorate, or a node is being fenced |
| 3 | cannot tell: the API server cannot be asked |
| 64 | the command line is wrong (EX_USAGE) |
| 70 | a bug in Quorate (EX_SOFTWARE) |
| 130 | interrupted |
"""

from typing import Final

REFUSED: Final = 1
CANNOT_TELL: Final = 3
USAGE: Final = 64
INTERNAL: Final = 70
INTERRUPTED: Final = 130


class CliError(Exception):
    """Refused or failed. The message is what is printed after "error: "."""

    code = REFUSED


class UsageError(CliError):
    """The command line cannot be followed as it stands."""

    code = USAGE


class UnreachableError(CliError):
    """The API server cannot be asked: nobody there, or no way to it is configured."""

    code = CANNOT_TELL


class ApiError(CliError):
    """The API server refused. `words` are its own."""

    def __init__(self, message: str, words: str = "") -> None:
        super().__init__(message)
        self.words = words


class NotFoundError(ApiError):
    """There is no such object."""


class NotInstalledError(ApiError):
    """The API server does not know the kind: Quorate is not installed there."""

    code = CANNOT_TELL


class ConflictError(ApiError):
    """Somebody was faster: another version, or the name is taken."""


class UnknownUserError(ApiError):
    """Nobody there knows who we are: no credentials, wrong ones, or some that have run out."""


class ForbiddenError(ApiError):
    """We may not."""


class TransientError(UnreachableError):
    """May work in a moment. `retry_after_s`: the server's own wish."""

    retry_after_s: float | None = None
