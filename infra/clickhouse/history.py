"""Stored readings to learn from: as they were read, with what was said of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from clickhouse_connect.driver.client import Client

from infra.clickhouse.client import explained

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class History:
    """Readings, those of a sensor and partition in order of arrival; all columns have length n.

    sensor: a number for each sensor in each partition. time_ms: event time. value: as measured.
    in_order: neither late nor out of order, and no conflict. flagged: by its verdict, or by a rule or a model alone.
    """

    sensor: Ints
    time_ms: Ints
    value: npt.NDArray[np.float64]
    in_order: Flags
    flagged: Flags

    def __len__(self) -> int:
        return len(self.sensor)


def read_history(client: Client, *, since_ms: int, most: int) -> History:
    """The last readings, at most so many, not older than `since_ms` before the newest. Raises ClickHouseError."""
    sql = (
        "SELECT dense_rank() OVER (ORDER BY sensor_id, topic, partition) - 1 AS sensor, "
        "toUnixTimestamp64Milli(time) AS time_ms, value, quality = 'ok' AS in_order, "
        "is_anomaly OR rule_anomaly OR model_anomaly AS flagged "
        "FROM (SELECT sensor_id, time, topic, partition, offset, idx, value, quality, "
        "is_anomaly, rule_anomaly, model_anomaly FROM readings_final "
        "WHERE time >= (SELECT max(time) FROM readings) - toIntervalMillisecond({since:Int64}) "
        "ORDER BY time DESC, topic, partition, offset, idx LIMIT {most:UInt64}) "
        "ORDER BY sensor, offset, idx"
    )
    with explained("the query", client):
        columns = client.query(sql, parameters={"since": since_ms, "most": most}).result_columns
    kinds = (np.int64, np.int64, np.float64, np.bool_, np.bool_)
    columns = columns or [()] * len(kinds)
    return History(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))
