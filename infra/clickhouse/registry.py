"""The sensor registry in the table `sensors`."""

from collections.abc import Mapping
from dataclasses import fields
from math import nan
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained
from infra.clickhouse.encode import to_arrow
from infra.clickhouse.insert import insert
from operators.batches import Rows
from operators.registry import SensorInfo

_FIELDS = tuple(field.name for field in fields(SensorInfo))
_NUMBERS = ("min_value", "max_value", "interval_ms")


def load_registry(client: Client) -> dict[str, SensorInfo]:
    """What the table knows of each sensor, by sensor_id. Raises ClickHouseError."""
    with explained("the sensor registry", client):
        rows = client.query(f"SELECT sensor_id, {', '.join(_FIELDS)} FROM sensors_final").result_rows
    return {sensor_id: _info(said) for sensor_id, *said in rows}


def save_registry(client: Client, sensors: Mapping[str, SensorInfo], *, updated_ms: int) -> None:
    """Write these entries; others stay. updated_ms: now, epoch milliseconds: the newest entry of a sensor counts.

    Raises ClickHouseError.
    """
    if not sensors:
        return
    columns = {name: [getattr(info, name) for info in sensors.values()] for name in _FIELDS}
    numbers = {name: np.array(columns[name], np.float64) for name in _NUMBERS}
    rows = Rows("sensors", len(sensors), {"sensor_id": list(sensors), "updated_at": updated_ms, **columns, **numbers})
    insert(client, "sensors", to_arrow(rows))


def _info(said: list[Any]) -> SensorInfo:
    values: list[Any] = [nan if value is None else value for value in said]
    return SensorInfo(*values)
