"""Takes out of topics what everybody has read: for a log that is only a way from one to the next."""

from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.kafka.client import Connection

_TIMEOUT_S = 5.0


class Trimmer:
    """readers: of each topic, which has one partition, the groups that read it. For one thread.

    keep_s: what was read stays for so long: a flow that is killed may go on a little before where it said it was.
    """

    def __init__(self, connection: Connection, readers: Mapping[str, Sequence[str]], *, keep_s: float) -> None:
        self._readers, self._keep_s = readers, keep_s
        self._looks: deque[tuple[float, dict[str, int]]] = deque()
        self._gone: dict[str, int] = {}
        with connection.explained():
            self._admin = AdminClient(connection.config({}))

    def trim(self) -> None:
        """Up to where the slowest group was. What cannot be asked or deleted now is left for the next time."""
        try:
            self._looks.append((monotonic(), self._read()))
            while len(self._looks) > 1 and self._looks[1][0] <= monotonic() - self._keep_s:
                self._looks.popleft()
            at_s, read = self._looks[0]
            if at_s > monotonic() - self._keep_s:
                return
            for topic, upto in read.items():
                if upto > self._gone.get(topic, 0):
                    asked = self._admin.delete_records([TopicPartition(topic, 0, upto)], request_timeout=_TIMEOUT_S)
                    for answer in asked.values():
                        answer.result()
                    self._gone[topic] = upto
        except KafkaException:
            return

    def _read(self) -> dict[str, int]:
        """Of each topic the offset that its slowest group reads next, -1 when one has said nothing yet."""
        groups = {group for some in self._readers.values() for group in some}
        places = {group: self._places(group) for group in groups}
        return {topic: min(places[one].get(topic, -1) for one in some) for topic, some in self._readers.items()}

    def _places(self, group: str) -> dict[str, int]:
        topics = [TopicPartition(topic, 0) for topic, groups in self._readers.items() if group in groups]
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, topics)], request_timeout=_TIMEOUT_S
        )
        found = asked[group].result().topic_partitions or []
        return {one.topic: one.offset for one in found if one.error is None}
