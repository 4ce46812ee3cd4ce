"""A general MQTT client: paho, with calls that wait for the broker's answers."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hub import Hub
from waiting import DEADLINE, eventually

V3, V5 = paho.MQTTv311, paho.MQTTv5

Message = paho.MQTTMessage


@dataclass(frozen=True)
class Will:
    """A will."""

    topic: str
    payload: str
    qos: int = 0
    retain: bool = False
    delay: int | None = None


def properties(packet: int, **values: Any) -> Properties:
    """Properties of a packet, named as paho names them."""
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def publish_properties(**values: Any) -> Properties:
    """Properties of PUBLISH."""
    return properties(PacketTypes.PUBLISH, **values)


class Client:
    """A connected paho client that keeps what it hears."""

    def __init__(
        self,
        hub: Hub,
        client_id: str = "",
        *,
        version: int = V5,
        clean: bool = True,
        keepalive: int = 60,
        will: Will | None = None,
        login: tuple[str, str] | None = None,
        connect: dict[str, Any] | None = None,
        bind: str = "",
        on_message: Callable[[Message], None] | None = None,
    ) -> None:
        self.messages: list[Message] = []
        self.session_present = False
        self.connack_properties: dict[str, Any] = {}
        self.disconnected_by_hub: int | None = None
        self._answers: dict[tuple[str, int], list[ReasonCode]] = {}
        self._connack: ReasonCode | None = None
        self._ended = threading.Event()
        self._lock = threading.Condition()
        self._on_message = on_message

        options = {"clean_session": clean} if version == V3 else {}
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            protocol=version,
            reconnect_on_failure=False,
            **options,
        )
        if login is not None:
            self.paho.username_pw_set(*login)
        if will is not None:
            will_properties = None
            if will.delay is not None:
                will_properties = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=will.delay)
            self.paho.will_set(will.topic, will.payload, will.qos, will.retain, will_properties)
        self.paho.on_connect = self._connected
        self.paho.on_subscribe = self._subscribed
        self.paho.on_unsubscribe = self._subscribed
        self.paho.on_publish = self._published
        self.paho.on_message = self._heard
        self.paho.on_disconnect = self._disconnected
        hub.closes(self)
        if version == V5:
            connect_properties = properties(PacketTypes.CONNECT, **(connect or {}))
            self.paho.connect(
                *hub.mqtt, keepalive, bind, clean_start=clean, properties=connect_properties
            )
        else:
            self.paho.connect(*hub.mqtt, keepalive, bind)
        self.paho.loop_start()
        self._wait(lambda: self._connack is not None or self._ended.is_set(), "CONNACK")
        assert self._connack is not None, "the hub closed the connection without a CONNACK"
        assert not self._connack.is_failure, f"CONNACK {self._connack}"

    # -- what paho tells ----------------------------------------------------------------------

    def _tell(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()
            self._lock.notify_all()

    def _connected(self, _client, _data, flags, code, got) -> None:
        def change() -> None:
            self.session_present = flags.session_present
            self.connack_properties = got.json() if got else {}
            self._connack = code

        self._tell(change)

    def _subscribed(self, _client, _data, mid, codes, _got) -> None:
        self._tell(lambda: self._answers.update({("subscribe", mid): list(codes)}))

    def _published(self, _client, _data, mid, code, _got) -> None:
        self._tell(lambda: self._answers.update({("publish", mid): [code]}))

    def _heard(self, _client, _data, message: Message) -> None:
        self._tell(lambda: self.messages.append(message))
        if self._on_message is not None:
            self._on_message(message)

    def _disconnected(self, _client, _data, flags, code, _got) -> None:
        def change() -> None:
            if flags.is_disconnect_packet_from_server:
                self.disconnected_by_hub = code.value
            self._ended.set()

        self._tell(change)

    def _wait(self, check: Callable[[], Any], what: str) -> Any:
        with self._lock:
            answer = self._lock.wait_for(check, DEADLINE)
        assert answer, f"no {what} within {DEADLINE:.0f} s"
        return answer

    # -- doing --------------------------------------------------------------------------------

    def subscribe(self, *filters: str, qos: int = 0, **options: Any) -> list[int]:
        """Subscribes and returns the reason codes of the SUBACK."""
        got = None
        if (identifier := options.pop("identifier", None)) is not None:
            got = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier)
        if self.paho.protocol == V5:
            wanted = [(f, paho.SubscribeOptions(qos=qos, **options)) for f in filters]
        else:
            wanted = [(f, qos) for f in filters]
        _, mid = self.paho.subscribe(wanted, properties=got)
        return self._answer("subscribe", mid, "SUBACK")

    def unsubscribe(self, *filters: str) -> list[int]:
        """Unsubscribes and returns the reason codes of the UNSUBACK."""
        _, mid = self.paho.unsubscribe(list(filters))
        return self._answer("subscribe", mid, "UNSUBACK")

    def publish(
        self, topic: str, payload: str | bytes = "", qos: int = 0, retain: bool = False, **got: Any
    ) -> int:
        """Publishes, and returns the reason code of the acknowledgement (0 where there is none)."""
        made = publish_properties(**got) if got else None
        info = self.paho.publish(topic, payload, qos, retain, made)
        if qos == 0:
            return 0
        return self._answer("publish", info.mid, "PUBACK or PUBCOMP")[0]

    def send(self, topic: str, payload: str, qos: int = 0) -> None:
        """Publishes without waiting: the only way inside a callback."""
        self.paho.publish(topic, payload, qos)

    def _answer(self, kind: str, mid: int, what: str) -> list[int]:
        self._wait(lambda: (kind, mid) in self._answers or self._ended.is_set(), what)
        with self._lock:
            assert (kind, mid) in self._answers, f"the connection ended before the {what}"
            return [code.value for code in self._answers.pop((kind, mid))]

    # -- hearing ------------------------------------------------------------------------------

    def heard(self, topic: str | None = None) -> list[str]:
        """The payloads heard so far, on one topic or on all."""
        with self._lock:
            return [
                m.payload.decode(errors="replace")
                for m in self.messages
                if topic in (None, m.topic)
            ]

    def wait_heard(self, count: int, topic: str | None = None) -> list[str]:
        """The payloads, once there are at least `count`."""
        self._wait(lambda: len(self.heard(topic)) >= count, f"{count} messages on {topic or '#'}")
        return self.heard(topic)

    def wait_for(self, check: Callable[[Message], Any], what: str) -> Message:
        """The first message that is as asked."""
        return self._wait(lambda: next((m for m in self.messages if check(m)), None), what)

    # -- leaving ------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the connection lives, as far as paho knows."""
        return not self._ended.is_set()

    def wait_ended(self) -> int | None:
        """Returns once the hub has ended the connection: the reason code of its DISCONNECT."""
        eventually(self._ended.is_set, "end of the connection")
        return self.disconnected_by_hub

    def close(self) -> None:
        """DISCONNECT, then the end of the connection."""
        self.paho.disconnect()
        self.paho.loop_stop()
        self.drop()

    def fall_silent(self) -> None:
        """Does nothing more, not even PINGREQ; the socket stays open: a half-open connection."""
        self.paho.loop_stop()

    def drop(self) -> None:
        """Ends the connection as it is: FIN without DISCONNECT."""
        self._end(linger=False)

    def cut(self) -> None:
        """Ends the connection by RST: a crash, a firewall."""
        self._end(linger=True)

    def _end(self, linger: bool) -> None:
        if (held := self.paho.socket()) is not None:
            with suppress(OSError):
                if linger:
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # paho takes this for the end of the stream, and closes the socket at once.
                held.shutdown(socket.SHUT_RD)
        self.paho.loop_stop()
        if (held := self.paho.socket()) is not None:
            held.close()
