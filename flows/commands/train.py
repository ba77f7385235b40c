"""`streamgauge train`: a model for models.tflite.TFLite."""

from contextlib import nullcontext
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.commands.common import Invocation, duration_ms
from flows.training import CHOICES, FEATURE_NAMES, KINDS, Stored, Trained
from flows.training import train as run
from models.train.artifact import Made


class Source(StrEnum):
    """Where normal readings come from."""

    simulated = "simulated"
    clickhouse = "clickhouse"


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for two models and their manifests.")] = Path("model"),
    source: Annotated[Source, typer.Option("--from", help="What to learn normal readings from.")] = Source.simulated,
    since: Annotated[str, typer.Option(help="With --from clickhouse: how far back from the newest reading.")] = "7d",
    name: Annotated[str, typer.Option(help="Of the model; its version is made of its contents.")] = "autoencoder",
    feature: Annotated[
        list[str] | None,
        typer.Option(help=f"May be repeated: {', '.join(CHOICES)}.", show_default=", ".join(FEATURE_NAMES)),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Passes over the rows.")] = 15,
    seed: Annotated[int, typer.Option(min=0, max=10**8, help="The same seed gives the same files on one machine.")] = 1,
) -> None:
    """Train an autoencoder on normal readings and write it as .tflite, float32 and int8, without TensorFlow.

    Says how right both are on simulated faults they have not seen. The flow uses one when its manifest is named as a
    detector's parameter; another one takes over at the next start, and no sensor starts afresh.

    **Examples**

    `streamgauge train --out model`

    `streamgauge train --from clickhouse --since 7d --out model`
    """
    chosen = _chosen(feature)
    if not name.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter(f"{name!r}: letters, digits, - and _ only", param_hint="--name")
    since_ms = duration_ms(since, "--since")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # said now, not when the work is done
        raise typer.BadParameter(f"{out}: {error.strerror}", param_hint="--out") from None
    invocation: Invocation = context.obj
    console = Console(highlight=False)
    with invocation.clickhouse() if source is Source.clickhouse else nullcontext() as address:
        stored = None if address is None else Stored(address, since_ms=since_ms)
        with _Shown(console) as shown:
            trained = run(
                out,
                name=name,
                seed=seed,
                epochs=epochs,
                features=chosen,
                stored=stored,
                today=datetime.now(UTC).date(),
                told=shown.told,
            )
    _say(console, trained)


def _chosen(feature: list[str] | None) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(feature or FEATURE_NAMES))
    for one in chosen:
        if one not in CHOICES:
            raise typer.BadParameter(f"{one!r}: must be one of {', '.join(CHOICES)}", param_hint="--feature")
    return chosen


class _Shown:
    """A bar for each thing that is done."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("  {task.description:24}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Shown":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def told(self, what: str, share: float) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=1.0)
        self._progress.update(self._tasks[what], completed=share)


def _say(console: Console, trained: Trained) -> None:
    origin = trained.float32.manifest
    names = ", ".join(origin.feature_names)
    console.print(f"trained on {trained.rows:,} normal rows, {origin.trained_on}; features {names}", soft_wrap=True)
    table = Table("on simulated faults it has not seen", header_style="bold", box=None, pad_edge=False)
    models = (trained.float32, trained.int8)
    for heading in ("float32", "int8"):
        table.add_column(heading, justify="right")
    rows = [("F1 of all kinds", [f"{one.rightness.f1:.3f}" for one in models])]
    rows += [(f"F1 of {kind}", [_kind(one, place) for one in models]) for place, kind in enumerate(KINDS)]
    rows += [
        ("normal windows flagged", [f"{one.rightness.alarms:.2%}" for one in models]),
        ("threshold of the score", [f"{one.rightness.threshold:.2f}" for one in models]),
        ("size, bytes", [f"{len(one.content):,}" for one in models]),
        ("off on the whole, std", [f"{one.parity.typical:.1e}" for one in models]),
        ("off at most, std", [f"{one.parity.largest:.1e}" for one in models]),
    ]
    for heading, figures in rows:
        table.add_row(heading, *figures)
    console.print(table)
    console.print("off: float32 from scikit-learn's network, int8 from float32, in standard deviations", soft_wrap=True)
    for path, one in zip(trained.paths, models, strict=True):
        console.print(f"{path}: {one.manifest.model}", soft_wrap=True)
    features = ", ".join(f'"{name}"' for name in origin.feature_names)
    console.print("to use it, in streamgauge.toml:\n")
    lines = [
        "[[detectors]]",
        f'name = "{origin.name}"',
        'kind = "models.tflite.TFLite"',
        'role = "model"',
        f"features = [{features}]",
        f'params = {{ manifest = "{trained.paths[0]}" }}',
    ]
    console.print("\n".join(f"  {line}" for line in lines), markup=False, soft_wrap=True)


def _kind(one: Made, place: int) -> str:
    if not one.rightness.windows[place]:
        return "-"
    return f"{one.rightness.f1_of[place]:.3f} (recall {one.rightness.recall[place]:.2f})"
