"""Takes out of topics what everybody has read: for a log that is only a way from one to the next."""

from collections.abc import Mapping, Sequence

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.kafka.client import Connection

_TIMEOUT_S = 5.0


class Trimmer:
    """readers: of each topic, which has one partition, the groups that read it. For one thread."""

    def __init__(self, connection: Connection, readers: Mapping[str, Sequence[str]]) -> None:
        self._readers = readers
        self._gone: dict[str, int] = {}
        with connection.explained():
            self._admin = AdminClient(connection.config({}))

    def trim(self) -> None:
        """Up to where the slowest group is. What cannot be asked or deleted now is left for the next time."""
        try:
            read = {group: self._read(group) for group in {one for groups in self._readers.values() for one in groups}}
            for topic, groups in self._readers.items():
                upto = min(read[group].get(topic, -1) for group in groups)
                if upto > self._gone.get(topic, 0):
                    asked = self._admin.delete_records([TopicPartition(topic, 0, upto)], request_timeout=_TIMEOUT_S)
                    for answer in asked.values():
                        answer.result()
                    self._gone[topic] = upto
        except KafkaException:
            return

    def _read(self, group: str) -> dict[str, int]:
        """Of each of its topics the offset that it reads next."""
        topics = [TopicPartition(topic, 0) for topic, groups in self._readers.items() if group in groups]
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, topics)], request_timeout=_TIMEOUT_S
        )
        places = asked[group].result().topic_partitions or []
        return {one.topic: one.offset for one in places if one.error is None}
