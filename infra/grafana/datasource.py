"""The data source all panels ask: Grafana's own ClickHouse plugin, and a query of it as the SDK's builders want it."""

from typing import Literal

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import AnnotationTarget

from infra.grafana.names import DATASOURCE_UID, PLUGIN, PLUGIN_VERSION

DATASOURCE = DataSourceRef(type_val=PLUGIN, uid=DATASOURCE_UID)

Shape = Literal["timeseries", "table"]
_FORMATS: dict[Shape, int] = {"timeseries": 0, "table": 1}
"""Numbers the plugin's backend knows them by."""


class Query(Dataquery):
    """One SQL query as the plugin stores it.

    timeseries: a column `time`, ascending; texts become labels, numbers become values. table: rows as they are.
    """

    def __init__(self, sql: str, shape: Shape, ref_id: str) -> None:
        self.sql, self.shape, self.ref_id = sql, shape, ref_id

    def to_json(self) -> dict[str, object]:
        """As in a dashboard's JSON."""
        return {
            "refId": self.ref_id,
            "datasource": DATASOURCE,
            "editorType": "sql",
            "queryType": self.shape,
            "format": _FORMATS[self.shape],
            "pluginVersion": PLUGIN_VERSION,
            "rawSql": self.sql,
        }


class Sql(Builder[Query]):
    """Builds a query."""

    def __init__(self, sql: str, shape: Shape = "table", ref_id: str = "A") -> None:
        self._query = Query(sql.strip(), shape, ref_id)

    def build(self) -> Query:
        """The query."""
        return self._query


class AnnotationSql(AnnotationTarget):
    """The query of an annotation: columns time, perhaps timeEnd, text, tags."""

    def __init__(self, sql: str) -> None:
        super().__init__()
        self._query = Query(sql.strip(), "table", "Anno")

    def to_json(self) -> dict[str, object]:
        """As in a dashboard's JSON."""
        return self._query.to_json()
