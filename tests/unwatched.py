"""A stage of the demo without anybody before it: for tests and benchmarks."""

from quorate.cli.demo.record import Record
from quorate.view.report import Report


class Quiet:
    """Nobody watches."""

    def begin(self, number: int, title: str) -> None:
        pass

    def draw(self, report: Report) -> None:
        pass

    def end(self, record: Record) -> None:
        pass
