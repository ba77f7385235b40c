"""Small models with manifests to test with, made by hand."""

import atexit
import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.manifest import Input, Manifest, write
from models.train.flatbuffer import Layer, float32_model

NAMES = ("value", "delta", "hour")
SHRINK = 0.3
"""The small autoencoder gives back 0.5 + SHRINK * (x - 0.5)."""


def shrinking() -> list[Layer]:
    """Two layers for three features."""
    inner = Layer(np.float32(SHRINK) * np.eye(3, dtype=np.float32), np.zeros(3, np.float32), relu=True)
    outer = Layer(np.eye(3, dtype=np.float32), np.full(3, 0.5 - SHRINK / 2, np.float32), relu=False)
    return [inner, outer]


def summing() -> list[Layer]:
    """One column: the sum of three features, less 1, and nothing below 0."""
    return [Layer(np.ones((1, 3), np.float32), np.full(1, -1, np.float32), relu=True)]


def random_layers(widths: tuple[int, ...], seed: int = 0) -> list[Layer]:
    """Of these widths, from the input's to the output's."""
    rng = np.random.default_rng(seed)
    sizes = list(pairwise(widths))
    return [
        Layer(
            rng.normal(0, 1 / np.sqrt(before), (after, before)).astype(np.float32),
            rng.normal(0, 0.1, after).astype(np.float32),
            relu=place < len(sizes) - 1,
        )
        for place, (before, after) in enumerate(sizes)
    ]


def stored(
    folder: Path,
    content: bytes,
    *,
    names: tuple[str, ...] = NAMES,
    output: Literal["reconstruction", "score"] = "reconstruction",
    scaling: Literal["sensor", "none"] = "sensor",
    version: str = "1",
) -> str:
    """Path of the manifest of a model written to a folder."""
    path = folder / "manifest.toml"
    manifest = Manifest(
        name="small",
        version=version,
        file="small.tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        features=tuple(Input(name) for name in names),
        output=output,
        scaling=scaling,
    )
    write(manifest, content, path)
    return str(path)


@cache
def small() -> str:
    """The manifest of the small autoencoder, there until the tests end."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return stored(Path(folder.name), float32_model(shrinking(), "small"))


def altered(content: bytes, change: Callable[[Any], None]) -> bytes:
    """A model after a change to its parts, a schema.ModelT."""
    model = schema.ModelT.InitFromPackedBuf(content)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
