"""The benchmark of formats reads all that it made, in each of them."""

from io import StringIO

from rich.console import Console

from tests.bench import formats


def test_every_format_is_measured() -> None:
    out = StringIO()
    rates = formats.run(readings=500, repeat=1, console=Console(file=out, width=200))
    assert rates.keys() == {"json", "avro", "protobuf", "json-schema"}
    assert min(rates.values()) > 0
