"""What is fuzzed: a module for each parser that meets outside bytes.

check(data): hand the bytes to the product and assert what must hold whatever they are; returns how it ended, a word for
people. SEEDS: good inputs to begin with. TOKENS: pieces worth trying.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

INSTRUMENTED: dict[str, tuple[str, ...]] = {
    "payloads": (
        *("operators.decode", "operators.decode_json", "operators.intake", "operators.reading_columns"),
        *("operators.timestamps", "operators.series_codes", "operators.rejects", "operators.reject_limit"),
        *("infra.clickhouse.encode", "infra.clickhouse.arrays"),
    ),
    "arrow": (
        *("operators.decode", "operators.decode_arrow", "operators.arrow_size", "operators.reading_columns"),
        *("operators.timestamps", "operators.series_codes", "operators.rejects", "operators.intake"),
    ),
    "schemas": (
        *("operators.decode", "operators.framed", "operators.schema_fields", "operators.decode_avro"),
        *("operators.decode_protobuf", "operators.decode_json_schema", "operators.decode_json"),
    ),
    "config": ("flows.configuration", "flows.settings", "flows.settings_types", "infra.simulate.config", "tomllib"),
    "http": ("infra.observe.health", "http.server"),
    "registry": ("infra.registry", "tomllib"),
    "replay": ("infra.simulate.files", "infra.simulate.mapping", "infra.simulate.cells", "infra.simulate.replay"),
    "manifest": ("models.manifest", "tomllib"),
    "statement": ("infra.embedded.statement", "infra.embedded.guard"),
    "codec": ("infra.embedded.http_codec", "email"),
    "mqtt": ("infra.mqtt.payload", "operators.decode_json"),
    "bodies": ("infra.http.decoding", "operators.decode", "operators.decode_json", "operators.decode_arrow"),
}
"""Targets by name, each with the modules whose branches guide the fuzzer."""


class Target(NamedTuple):
    """See above."""

    check: Callable[[bytes], str]
    seeds: Sequence[bytes]
    tokens: Sequence[bytes]


def load(name: str) -> Target:
    """Import a target and what it tests."""
    module = import_module(f"{__name__}.{name}")
    return Target(module.check, module.SEEDS, module.TOKENS)
