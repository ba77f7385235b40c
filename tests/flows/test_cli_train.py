"""`streamgauge train`: from readings to files that a detector runs."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bytewax.testing import run_main
from typer.testing import CliRunner, Result

from flows import sensors, training
from flows.cli import app
from flows.settings import Detector, Settings
from infra.clickhouse import migrate
from infra.clickhouse.client import Address, connect
from infra.clickhouse.history import read_history
from infra.clickhouse.sink import ClickHouseSink
from infra.embedded.clickhouse import EmbeddedClickHouse
from models.catalog import build
from models.manifest import read_manifest, read_model
from tests.infra.clickhouse_support import database
from tests.ports import MemoryTables, Message, list_ports

T0_MS = 1_767_225_600_000
READINGS = 700
SPIKE = 500


@pytest.fixture(autouse=True)
def few_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "READINGS", 300)
    monkeypatch.setattr(training, "ROWS", 3000)


def train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["train", "--epochs", "2", *map(str, arguments)])


def test_simulated_readings_become_two_models_that_detectors_run(tmp_path: Path) -> None:
    run = train("--out", tmp_path / "a")
    assert run.exit_code == 0, run.output
    for said in ("trained on 3,000 normal rows", "F1 of all kinds", "F1 of noise_burst", "[[detectors]]", "bytes"):
        assert said in run.output
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "autoencoder-int8.tflite",
        "autoencoder.tflite",
        "manifest-int8.toml",
        "manifest.toml",
    ]
    for name in ("manifest.toml", "manifest-int8.toml"):
        manifest = read_manifest(tmp_path / "a" / name)
        assert manifest.feature_names == training.FEATURE_NAMES
        assert manifest.model in run.output
        build("models.tflite.TFLite", training.FEATURE_NAMES, {"manifest": str(tmp_path / "a" / name)})
    assert train("--out", tmp_path / "b").exit_code == 0
    for name in ("autoencoder.tflite", "autoencoder-int8.tflite"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), "the same seed"


def test_features_seed_and_name_are_as_asked_for(tmp_path: Path) -> None:
    run = train("--out", tmp_path, "--feature", "delta", "--feature", "std", "--seed", "9", "--name", "two-features")
    assert run.exit_code == 0, run.output
    manifest = read_manifest(tmp_path / "manifest.toml")
    assert (manifest.name, manifest.feature_names, manifest.training_seed) == ("two-features", ("delta", "std"), 9)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--feature", "hour_sin"], "must be one of value, delta"),
        (["--since", "soon"], "--since"),
        (["--name", "a/b"], "letters, digits"),
        (["--out", "{file}"], "--out"),
        (["--epochs", "0"], "--epochs"),
        (["--from", "nowhere"], "--from"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = train("--out", tmp_path / "out", *(one.format(file=tmp_path / "file") for one in arguments))
    assert run.exit_code == 2
    assert says in run.stderr
    assert not list(tmp_path.glob("out/*"))


@pytest.fixture(scope="module")
def address(clickhouse: EmbeddedClickHouse) -> Iterator[Address]:
    """Where a flow has stored readings of three sensors, one of them with a spike that a rule flagged."""
    address = Address(port=clickhouse.port, database=f"trained_{uuid.uuid4().hex[:8]}")
    with connect(address) as client:
        migrate.init(client)
    values = np.random.default_rng(5).normal(20, 0.5, (READINGS, 3)).round(3)
    values[SPIKE, 1] = 90.0
    messages = [
        Message(
            json.dumps({"sensor_id": f"s{k}", "value": float(values[i, k]), "timestamp": T0_MS + 1000 * i}).encode(),
            T0_MS + 10**9,
        )
        for i in range(READINGS)
        for k in range(3)
    ]
    rule = Detector("z-score", "models.rolling_z.RollingZ", role="rule", threshold=6.0)
    ports = replace(list_ports({"t/0": messages}, MemoryTables(), close_at_end=True), tables=ClickHouseSink(address))
    run_main(sensors.build(Settings(detectors=(rule,)), ports))
    yield address
    with connect(address) as client:
        client.command(f"DROP DATABASE `{address.database}`", use_database=False)


def env(address: Address) -> dict[str, str]:
    return {
        "STREAMGAUGE_CLICKHOUSE__PORT": str(address.port),
        "STREAMGAUGE_CLICKHOUSE__DATABASE": address.database,
    }


def test_history_is_what_was_stored(address: Address) -> None:
    with connect(address) as client:
        whole = read_history(client, since_ms=7 * 86_400_000, most=10_000)
        assert len(whole) == 3 * READINGS
        assert np.bincount(whole.sensor).tolist() == [READINGS] * 3
        for sensor in range(3):
            rows = whole.sensor == sensor
            assert (np.diff(whole.time_ms[rows]) == 1000).all(), "in order of arrival"
        assert whole.in_order.all()
        flagged = np.flatnonzero(whole.flagged)
        assert READINGS + SPIKE in flagged
        assert len(flagged) < 5
        recent = read_history(client, since_ms=99_000, most=10_000)
        assert (len(recent), recent.time_ms.min()) == (300, T0_MS + 1000 * (READINGS - 100))
        newest = read_history(client, since_ms=10**9, most=30)
        assert (len(newest), newest.time_ms.min()) == (30, T0_MS + 1000 * (READINGS - 10))


def test_stored_readings_teach_without_what_was_flagged(address: Address, tmp_path: Path) -> None:
    run = CliRunner(env=env(address)).invoke(
        app, ["train", "--from", "clickhouse", "--epochs", "2", "--out", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    manifest = read_manifest(tmp_path / "manifest.toml")
    assert manifest.trained_on.startswith(
        "2,100 stored readings of 3 sensors, 2026-01-01T00:00:00 to 2026-01-01T00:11:39"
    )
    assert read_model(manifest, tmp_path / "manifest.toml")
    examples = training.Stored(address, since_ms=10**9).examples(training.FEATURE_NAMES)
    settled = examples.settled()
    assert not settled[READINGS + SPIKE : READINGS + SPIKE + 33].any()
    assert settled[READINGS + SPIKE + 100 : READINGS * 2].mean() > 0.5


def test_nothing_stored_is_an_error_too(clickhouse: EmbeddedClickHouse, tmp_path: Path) -> None:
    with database(clickhouse.port) as (empty, _):
        run = CliRunner(env=env(empty)).invoke(app, ["train", "--from", "clickhouse", "--out", str(tmp_path)])
    assert isinstance(run.exception, training.TrainingError)
    assert str(run.exception).startswith("0 normal readings")


def test_too_few_readings_are_an_error_that_says_what_to_do(address: Address, tmp_path: Path) -> None:
    with pytest.raises(training.TrainingError, match=r"normal readings to learn from, at least 1,000 are needed"):
        CliRunner(env=env(address)).invoke(
            app,
            ["train", "--from", "clickhouse", "--since", "20s", "--out", str(tmp_path)],
            catch_exceptions=False,
        )
    assert not list(tmp_path.iterdir())
