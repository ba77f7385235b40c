"""Grafana as code: dashboards and alert rules over ClickHouse, generated as JSON, and their way into a Grafana."""
