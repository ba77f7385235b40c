"""The page Windows."""

from infra.console.dataset import Dataset

DATASETS: tuple[Dataset, ...] = ()
