"""Detectors of which one can tell what they say and what they were taught."""

from models.detector import Batch, Floats, Slots, check_state


class Plain:
    """Scores the value itself; counts what it was taught."""

    def __init__(self, feature_names: tuple[str, ...] = (), *, scale: float = 1.0) -> None:
        self.feature_names = feature_names
        self.scale = scale
        self.sensors = 0
        self.taught: list[float] = []
        self.seen: list[Floats] = []
        self.forgotten: list[int] = []

    def grow(self, sensors: int) -> None:
        self.sensors = sensors

    def score(self, batch: Batch) -> Floats:
        self.seen.append(batch.features)
        return batch.values * self.scale

    def learn(self, batch: Batch) -> None:
        self.taught += batch.values.tolist()

    def reset(self, slots: Slots) -> None:
        self.forgotten += slots.tolist()

    @property
    def nbytes(self) -> int:
        return 8 * len(self.taught)

    def state(self) -> dict[str, object]:
        return {"version": 1, "scale": self.scale, "taught": list(self.taught)}

    def load(self, state: dict[str, object]) -> None:
        check_state(state, version=1, scale=self.scale)
        self.taught = list(state["taught"])  # type: ignore[call-overload]


class Failing(Plain):
    """Raises when it meets the value 13."""

    def score(self, batch: Batch) -> Floats:
        if (batch.values == 13).any():
            raise RuntimeError("13\nis unlucky")
        return super().score(batch)


class WrongShape(Plain):
    """Gives one score too many when it meets the value 13."""

    def score(self, batch: Batch) -> Floats:
        scores = super().score(batch)
        return scores.repeat(2) if (batch.values == 13).any() else scores


class Refitted(Plain):
    """Takes on the largest value it was taught as its model each time 10 s have passed; scores value / model."""

    step_ms = 10_000

    def __init__(self, feature_names: tuple[str, ...] = (), *, scale: float = 1.0) -> None:
        super().__init__(feature_names, scale=scale)
        self.model = 0.0
        self.times: list[int] = []

    def score(self, batch: Batch) -> Floats:
        return batch.values / self.model if self.model else batch.values * float("nan")

    def advance(self, time_ms: int) -> list[tuple[int, str]]:
        self.times.append(time_ms)
        if not self.taught:
            return []
        self.model = max(self.taught)
        return [(0, f"model {self.model:g}")]

    def version_of(self, group: int) -> str:
        return f"{self.model:g}" if group == 0 and self.model else ""

    def state(self) -> dict[str, object]:
        return super().state() | {"model": self.model}

    def load(self, state: dict[str, object]) -> None:
        super().load(state)
        self.model = float(str(state["model"]))


class Model(Plain):
    """Has a version, and forecasts the value 5, give or take 1."""

    def __init__(self, feature_names: tuple[str, ...] = (), *, version: str = "1") -> None:
        super().__init__(feature_names)
        self.version = version

    def version_of(self, group: int) -> str:
        return self.version

    def expected(self, batch: Batch) -> tuple[Floats, Floats, Floats]:
        middle = batch.values * 0 + 5
        return middle, middle - 1, middle + 1
