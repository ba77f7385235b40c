"""What the levels of a topic say of a reading: `sensors/{sensor_id}/data`."""

from functools import lru_cache

from infra.mqtt.errors import MqttFailure

FIELDS = ("sensor_id", "sensor_type", "location", "unit", "asset_id")
_KNOWN_TOPICS = 100_000


def check_filter(text: str) -> None:
    """Raises MqttFailure when it is no MQTT topic filter."""
    *levels, last = text.split("/")
    if not text or any(level != "+" and ("+" in level or "#" in level) for level in levels) or _is_mixed(last):
        raise MqttFailure(f"mqtt.topics: {text!r} is no topic filter: + takes a whole level, # the last one")


def _is_mixed(level: str) -> bool:
    return level not in ("+", "#") and ("+" in level or "#" in level)


class TopicTemplate:
    """Levels are texts, fields in braces, `+` for any one level, and at the end `#` for all the rest.

    Raises MqttFailure when the text is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._levels = text.split("/")
        for number, level in enumerate(self._levels):
            self._check(level, last=number == len(self._levels) - 1)
        self._places = [(number, level[1:-1]) for number, level in enumerate(self._levels) if level.startswith("{")]
        if len({name for _, name in self._places}) < len(self._places):
            raise self._wrong("names a field twice")
        self.fields = lru_cache(_KNOWN_TOPICS)(self._fields)

    @property
    def filter(self) -> str:
        """The MQTT topic filter that everything fits."""
        return "/".join("+" if level.startswith("{") else level for level in self._levels)

    def topic(self, sensor_id: str) -> str:
        """Where a sensor publishes. Raises MqttFailure when the template does not say it."""
        if not sensor_id or any(sign in sensor_id for sign in "/+#"):
            raise MqttFailure(
                f"sensor_id {sensor_id!r}: / + # have a meaning in MQTT topics; it cannot be a level of one"
            )
        levels = [sensor_id if level == "{sensor_id}" else level for level in self._levels]
        if any(level.startswith("{") or level in ("+", "#") for level in levels):
            raise MqttFailure(
                f"mqtt.template = {self.text!r}: to publish, it may hold {{sensor_id}}, but no other field or wildcard"
            )
        return "/".join(levels)

    def _fields(self, topic: str) -> dict[str, str] | None:
        """What a topic says; None when it is not of this form."""
        levels = topic.split("/")
        if self._levels[-1] == "#":
            levels = [*levels[: len(self._levels) - 1], "#"]
        if len(levels) != len(self._levels):
            return None
        for wanted, level in zip(self._levels, levels, strict=True):
            if not (wanted in ("+", "#") or wanted == level or (wanted.startswith("{") and level)):
                return None
        return {name: levels[number] for number, name in self._places}

    def _check(self, level: str, *, last: bool) -> None:
        if level in ("+",) or (level == "#" and last):
            return
        if level.startswith("{") and level.endswith("}"):
            if level[1:-1] not in FIELDS:
                raise self._wrong(f"{level}: no such field; there are {', '.join(FIELDS)}")
        elif any(sign in level for sign in "{}+#"):
            raise self._wrong(f"{level!r}: a field or wildcard takes a whole level, and # comes last")

    def _wrong(self, why: str) -> MqttFailure:
        return MqttFailure(f"mqtt.template = {self.text!r}: {why}")
