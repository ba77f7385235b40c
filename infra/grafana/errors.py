"""What goes wrong with a Grafana; importable without its packages."""


class GrafanaError(Exception):
    """Grafana cannot be reached or refuses; the message says what was wrong and what to do."""
