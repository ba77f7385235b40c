"""Names that Grafana, its plugin and our files share."""

PLUGIN = "grafana-clickhouse-datasource"
PLUGIN_VERSION = "4.0.0"
"""The oldest release of the plugin whose queries look like ours."""

DATASOURCE_UID = "streamgauge-clickhouse"
FOLDER_UID = "streamgauge"
FOLDER_TITLE = "streamgauge"
RULE_GROUP = "streamgauge"
CONTACT_POINT = "streamgauge operators"

SENSOR_UID = "streamgauge-sensor"
TAG = "streamgauge"
