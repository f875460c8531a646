"""What production code says of its own bugs: an exception that it caught, logged and survived is a finding here."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Bugs(logging.Handler):
    def __init__(self, found: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._found(f"a bug in {record.name}: {record.getMessage()}: {record.exc_info[1]!r}")


@contextmanager
def listening(found: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile the log goes nowhere else."""
    logger, handler = logging.getLogger("quorate"), _Bugs(found)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
