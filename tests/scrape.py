"""What a scrape of /metrics found, to be looked at by name and labels."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scrape:
    """One answer of one process."""

    text: str

    def value(self, sample: str, **labels: str) -> float | None:
        """The value of exactly this series, None when there is none."""
        return next((value for name, found, value in self._samples() if (name, found) == (sample, labels)), None)

    def total(self, sample: str, **labels: str) -> float:
        """The sum over all series of this name that have these labels, and perhaps more."""
        return sum(
            value for name, found, value in self._samples() if name == sample and labels.items() <= found.items()
        )

    def labels(self) -> set[str]:
        return {label for _, found, _ in self._samples() for label in found}

    def _samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value


def scrape(url: str) -> Scrape:
    """Ask a process."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 a process of the test's own
        return Scrape(answer.read().decode())
