"""What the embedded MQTT broker does otherwise than amqtt by itself: it lets everybody in, and it keeps its promise."""

import asyncio
from itertools import chain
from typing import Any

from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import OUTGOING, Session
from typing_extensions import override


class OpenDoor(BaseAuthPlugin):  # type: ignore[misc]
    """No login, and yet no anonymous session: amqtt keeps no messages for those while they are away."""

    @override
    async def authenticate(self, *, session: Session) -> bool:
        return True


class KeepingHandler(BrokerProtocolHandler):  # type: ignore[misc]
    """Forgets a message of QoS 1 when the client has acknowledged it; sends it again when the client comes back.

    amqtt by itself forgets it after five seconds, or when the client goes away.
    """

    def __init__(self, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        self._again: set[asyncio.Task[None]] = set()

    @override
    async def _handle_qos1_message_flow(self, app_message: Any) -> None:
        if app_message.direction != OUTGOING:
            await super()._handle_qos1_message_flow(app_message)
            return
        kept, number = self.session.inflight_out, app_message.packet_id
        kept[number] = app_message
        waiter = self._puback_waiters[number] = asyncio.get_running_loop().create_future()
        packet = app_message.build_publish_packet(dup=app_message.publish_packet is not None)
        app_message.publish_packet = packet
        try:
            await self._send_packet(packet)
            app_message.puback_packet = await waiter
            del kept[number]
        finally:
            self._puback_waiters.pop(number, None)

    @override
    async def _retry_deliveries(self) -> None:
        """In the order they were sent in; nothing else waits for it."""
        for message in [*chain(self.session.inflight_in.values(), self.session.inflight_out.values())]:
            task = asyncio.create_task(self._handle_message_flow(message))
            self._again.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._again.discard(task)
        if not task.cancelled():
            task.exception()  # the client went away once more: it stays among those to be sent
