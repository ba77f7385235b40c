"""A worker's metrics, as Prometheus reads them."""

from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Page:
    """One scrape. values: by name and labels."""

    values: dict[str, list[tuple[dict[str, str], float]]]

    def total(self, name: str, **labels: str) -> float:
        """Sum of a metric over all samples that have these labels; 0 when there are none."""
        return sum(value for own, value in self.values.get(name, ()) if labels.items() <= own.items())

    def within_s(self, name: str, share: float, **labels: str) -> float:
        """By a histogram: so many seconds were not exceeded in this share of the cases (upper bound of a bucket)."""
        counts: dict[float, float] = {}
        for own, value in self.values.get(f"{name}_bucket", ()):
            if labels.items() <= own.items():
                counts[float(own["le"])] = counts.get(float(own["le"]), 0.0) + value
        total = counts.get(float("inf"), 0.0)
        return min((upto for upto, count in counts.items() if count >= share * total), default=0.0)


def scrape(address: str) -> Page:
    """What `[observe] listen = address` tells now. Raises OSError when nobody listens."""
    values: dict[str, list[tuple[dict[str, str], float]]] = {}
    with urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, []).append((sample.labels, sample.value))
    return Page(values)
