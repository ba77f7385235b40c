"""docs/formats.md does what it says: configurations load, fields and reasons are there."""

import re
from pathlib import Path

from flows.configuration import load
from flows.schemas import no_schemas_yet
from operators.rejects import REASONS
from tests.operators import schemas as made

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_configurations_load_and_fields_are_found(tmp_path: Path) -> None:
    file = tmp_path / "streamgauge.toml"
    secret = tmp_path / "registry"
    secret.write_text("s3cret\n")
    file.write_text(BLOCKS[0].replace("/run/secrets/registry", str(secret)), encoding="utf-8")
    assert str(load(file, {}).schemas.password) == "s3cret"
    file.write_text(BLOCKS[1], encoding="utf-8")
    device = {"type": "record", "name": "Device", "fields": [{"name": "id", "type": "string"}]}
    schema = made.record(device=device, humidity="double", at="long", label="string")
    found = no_schemas_yet(load(file, {})).add(1, made.avro_text(schema))
    assert found.fields == {"sensor_id": "device.id", "value": "humidity", "timestamp": "at"}


def test_reasons_are_those_of_dead_letters() -> None:
    told = set(re.findall(r"dead letter `(\w+)`", PAGE))
    assert told == {"unknown_schema", "bad_schema", "schema_mismatch"}
    assert told <= set(REASONS)
