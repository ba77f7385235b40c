"""The pages there are, by name."""

from collections.abc import Mapping

from infra.console.data import alerts, analytics, detection, health, live, options, windows
from infra.console.dataset import Dataset, Deed

DATASETS: Mapping[str, Mapping[str, Dataset]] = {
    name: {one.name: one for one in datasets}
    for name, datasets in (
        ("options", options.DATASETS),
        ("live", live.DATASETS),
        ("windows", windows.DATASETS),
        ("detection", detection.DATASETS),
        ("analytics", analytics.DATASETS),
        ("alerts", alerts.DATASETS),
        ("health", health.DATASETS),
    )
}

DEEDS: Mapping[str, Mapping[str, Deed]] = {"alerts": {one.name: one for one in getattr(alerts, "DEEDS", ())}}
"""Of the modules that have any."""
