"""The page Health."""

from infra.console.dataset import Dataset

DATASETS: tuple[Dataset, ...] = ()
