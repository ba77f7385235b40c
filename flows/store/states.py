"""What is inside the snapshots of a store: which state versions there are, and how older ones become newer.

A state is a tuple whose first element is its version; states of parts lie within the state of their step. When a state
changes its shape, raise its STATE_VERSION and register here how one of the version before is turned into it; without
that, stores of earlier releases are refused at start.
"""

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from flows.store.files import Snapshot
from operators import (
    alerts,
    assets,
    cadence,
    clock,
    detect,
    episode_states,
    episodes,
    features,
    panes,
    quality,
    row_alerts,
    sensors,
    silences,
    verdict,
    windows,
)
from operators.state import pack, unpack

State = tuple[Any, ...]
Migration = Callable[[State], State]


class Part(NamedTuple):
    """step: last word of the step's id; path: indices from the step's state to the part's own."""

    step: str
    path: tuple[int, ...]
    version: int


PARTS: Mapping[str, Part] = {
    "clock": Part("clock", (), clock.STATE_VERSION),
    "sensors": Part("sensors", (), sensors.STATE_VERSION),
    "quality": Part("sensors", (4,), quality.STATE_VERSION),
    "cadence": Part("sensors", (5,), cadence.STATE_VERSION),
    "detect": Part("sensors", (6,), detect.STATE_VERSION),
    "features": Part("sensors", (6, 2), features.STATE_VERSION),
    "verdict": Part("sensors", (6, 4), verdict.STATE_VERSION),
    "panes": Part("sensors", (7,), panes.STATE_VERSION),
    "ticks": Part("sensors", (7, 5), assets.STATE_VERSION),
    "episodes": Part("sensors", (8,), episodes.STATE_VERSION),
    "episode_states": Part("sensors", (8, 1), episode_states.STATE_VERSION),
    "silences": Part("sensors", (8, 2), silences.STATE_VERSION),
    "windows": Part("windows", (), windows.STATE_VERSION),
    "assets": Part("windows", (5,), assets.STATE_VERSION),
    "alerts": Part("windows", (6,), alerts.STATE_VERSION),
    "row_alerts": Part("windows", (6, 5), row_alerts.STATE_VERSION),
}
"""Outer parts before those within them: a migration may change what lies in its state."""

_ROSTER = 3
"""Where in the state of a sensor shard its series are."""

FIRST_VERSIONS = dict.fromkeys(PARTS, 1) | {"detect": 2, "features": 2}
"""Those of stores that do not say theirs."""

MIGRATIONS: dict[str, dict[int, Migration]] = {
    "sensors": {2: lambda state: (3, *state[1:], None)},  # had no alerts
    "windows": {1: lambda state: (2, *state[1:], None)},  # had no alerts
}
"""Part -> version -> what makes the next version of it. Pure: a tuple in, a new one out."""


def versions() -> dict[str, int]:
    """The state versions of this release."""
    return {name: part.version for name, part in PARTS.items()}


def differences(stored: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """(what is older and can be migrated, what cannot be used), in words."""
    older: list[str] = []
    unusable: list[str] = []
    for name, now in versions().items():
        was = stored.get(name, now)
        if was == now:
            continue
        words = f"{name} {was} -> {now}"
        steps = MIGRATIONS.get(name, {})
        (older if was < now and all(v in steps for v in range(was, now)) else unusable).append(words)
    return older, unusable


def opened(snapshot: Snapshot) -> State | None:
    """The state in a snapshot of one of our steps; None for others (sources, sinks, steps of one's own)."""
    if snapshot.data is None or step_of(snapshot.step) not in {part.step for part in PARTS.values()}:
        return None
    _, packed = pickle.loads(snapshot.data)
    return unpack(packed)


def migrated(snapshot: Snapshot) -> bytes | None:
    """The snapshot's data with everything in it at this release's versions; None when it is so already."""
    state = opened(snapshot)
    if state is None or snapshot.data is None:
        return None
    new = state
    for name, part in PARTS.items():
        if part.step == step_of(snapshot.step):
            new = _at(new, part.path, partial(_upgraded, name=name, version=part.version))
    if new is state:
        return None
    key, _ = pickle.loads(snapshot.data)
    return pickle.dumps((key, pack(new)))


def sensor_ids(state: State) -> set[str]:
    """Whom a sensor shard knows."""
    series, *_ = state[_ROSTER]
    return {one[0] for one in series if one is not None}


def step_of(step_id: str) -> str:
    """The last word of a Bytewax step id."""
    return step_id.rpartition(".")[2]


def _upgraded(state: State | None, name: str, version: int) -> State | None:
    while state is not None and state[0] < version:
        before = state[0]
        state = MIGRATIONS[name][before](state)
        assert state[0] == before + 1, f"the migration of {name} {before} gives version {state[0]}"
    return state


def _at(state: Any, path: tuple[int, ...], change: Callable[[Any], Any]) -> Any:
    """The state with what is at the path changed; the very same when nothing changes."""
    if not path or state is None:
        return change(state)
    first, *rest = path
    inner = _at(state[first], tuple(rest), change)
    return state if inner is state[first] else (*state[:first], inner, *state[first + 1 :])
