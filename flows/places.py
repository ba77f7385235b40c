"""Where Kafka and ClickHouse are, by the settings.

What needs only one of them does not import the other's client: the bridges are small.
"""

from typing import TYPE_CHECKING

from flows.settings import Settings
from infra.kafka.client import Connection

if TYPE_CHECKING:
    from infra.clickhouse.client import Address


def clickhouse_address(settings: Settings) -> "Address":
    """The configured ClickHouse."""
    from infra.clickhouse.client import Address

    place = settings.clickhouse
    return Address(
        host=place.host,
        port=place.port,
        database=place.database,
        username=place.username,
        password=str(place.password),
        secure=place.secure,
        ca_file=place.ca_file,
        cert_file=place.cert_file,
        key_file=place.key_file,
        cluster=place.cluster,
    )


def connection(settings: Settings) -> Connection:
    """The configured Kafka."""
    kafka = settings.kafka
    return Connection(
        bootstrap=kafka.bootstrap,
        client=kafka.client,
        password=str(kafka.password),
        key_password=str(kafka.key_password),
        oauth_secret=str(kafka.oauth_secret),
    )
