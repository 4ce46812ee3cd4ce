"""MQTT packets by hand: for what a well-behaved client library never sends or never shows."""

import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hub import Address

V3, V5 = 4, 5

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)

# MQTT 5, section 2.2.2.2: identifiers of properties, by the form of their values.
_BYTE = {0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A}
_TWO_BYTES = {0x13, 0x21, 0x22, 0x23}
_FOUR_BYTES = {0x02, 0x11, 0x18, 0x27}
_VARIABLE = {0x0B}
_STRING = {0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F}
_BINARY = {0x09, 0x16}
_PAIR = {0x26}

SUBSCRIPTION_IDENTIFIER, SESSION_EXPIRY, ASSIGNED_CLIENT_ID, WILL_DELAY = 0x0B, 0x11, 0x12, 0x18
RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS, USER_PROPERTY = 0x21, 0x22, 0x23, 0x26
MAXIMUM_PACKET_SIZE, SHARED_AVAILABLE = 0x27, 0x2A

Properties = dict[int, Any]


def variable(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


def binary(data: str | bytes) -> bytes:
    """Text or bytes with their length before them."""
    raw = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(raw)) + raw


def _properties(values: Properties | None) -> bytes:
    out = b""
    for key, value in (values or {}).items():
        out += variable(key)
        if key in _BYTE:
            out += bytes([value])
        elif key in _TWO_BYTES:
            out += struct.pack(">H", value)
        elif key in _FOUR_BYTES:
            out += struct.pack(">I", value)
        elif key in _VARIABLE:
            out += variable(value)
        elif key in _PAIR:
            out += b"".join(binary(text) for text in value)
        else:
            out += binary(value)
    return variable(len(out)) + out


def packet(kind: int, flags: int, body: bytes) -> bytes:
    """Any packet."""
    return bytes([kind << 4 | flags]) + variable(len(body)) + body


def connect(
    client_id: str = "",
    version: int = V3,
    *,
    clean: bool = True,
    keepalive: int = 60,
    will: tuple[str, str | bytes, int] | None = None,
    will_properties: Properties | None = None,
    user: str | None = None,
    password: str | None = None,
    properties: Properties | None = None,
) -> bytes:
    """CONNECT; `will` is its topic, payload and QoS."""
    flags = 2 if clean else 0
    payload = binary(client_id)
    if will is not None:
        topic, text, qos = will
        flags |= 4 | qos << 3
        payload += _properties(will_properties) if version == V5 else b""
        payload += binary(topic) + binary(text)
    if user is not None:
        flags |= 0x80
        payload += binary(user)
    if password is not None:
        flags |= 0x40
        payload += binary(password)
    head = binary("MQTT") + bytes([version, flags]) + struct.pack(">H", keepalive)
    if version == V5:
        head += _properties(properties)
    return packet(CONNECT, 0, head + payload)


def publish(
    topic: str | bytes,
    payload: str | bytes,
    qos: int = 0,
    packet_id: int = 1,
    *,
    version: int = V3,
    retain: bool = False,
    dup: bool = False,
    properties: Properties | None = None,
) -> bytes:
    """PUBLISH."""
    body = binary(topic)
    if qos:
        body += struct.pack(">H", packet_id)
    if version == V5:
        body += _properties(properties)
    body += payload.encode() if isinstance(payload, str) else payload
    return packet(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0), body)


def answer(kind: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP with success."""
    return packet(kind, 2 if kind == PUBREL else 0, struct.pack(">H", packet_id))


def subscribe(
    *filters: str,
    options: int = 0,
    packet_id: int = 1,
    version: int = V3,
    properties: Properties | None = None,
) -> bytes:
    """SUBSCRIBE; `options` is the QoS, or MQTT 5's whole octet."""
    body = struct.pack(">H", packet_id)
    if version == V5:
        body += _properties(properties)
    body += b"".join(binary(f) + bytes([options]) for f in filters)
    return packet(SUBSCRIBE, 2, body)


def unsubscribe(*filters: str, packet_id: int = 1, version: int = V3) -> bytes:
    """UNSUBSCRIBE."""
    body = struct.pack(">H", packet_id) + (b"\0" if version == V5 else b"")
    return packet(UNSUBSCRIBE, 2, body + b"".join(binary(f) for f in filters))


def disconnect(code: int = 0, version: int = V3, properties: Properties | None = None) -> bytes:
    """DISCONNECT."""
    if version == V3:
        return packet(DISCONNECT, 0, b"")
    return packet(DISCONNECT, 0, bytes([code]) + _properties(properties))


def ping() -> bytes:
    """PINGREQ."""
    return packet(PINGREQ, 0, b"")


@dataclass(frozen=True)
class Packet:
    """A packet from the hub."""

    kind: int
    flags: int
    body: bytes
    version: int

    @property
    def qos(self) -> int:
        """Of a PUBLISH."""
        return self.flags >> 1 & 3

    @property
    def dup(self) -> bool:
        """Of a PUBLISH."""
        return bool(self.flags & 8)

    @property
    def topic(self) -> str:
        """Of a PUBLISH."""
        (length,) = struct.unpack_from(">H", self.body)
        return self.body[2 : 2 + length].decode()

    @property
    def packet_id(self) -> int:
        """Of anything that has one."""
        at = 2 + len(self.topic.encode()) if self.kind == PUBLISH else 0
        return struct.unpack_from(">H", self.body, at)[0]

    @property
    def payload(self) -> str:
        """Of a PUBLISH."""
        at = 2 + len(self.topic.encode()) + (2 if self.qos else 0)
        if self.version == V5:
            length, at = _read_variable(self.body, at)
            at += length
        return self.body[at:].decode()

    @property
    def code(self) -> int:
        """The reason code of CONNACK, PUBACK and its kin, DISCONNECT; the last of SUBACK."""
        match self.kind:
            case k if k == CONNACK:
                return self.body[1]
            case k if k in (SUBACK, UNSUBACK):
                return self.body[-1]
            case k if k == DISCONNECT:
                return self.body[0] if self.body else 0
            case _:
                return self.body[2] if len(self.body) > 2 else 0

    @property
    def session_present(self) -> bool:
        """Of a CONNACK."""
        return bool(self.body[0] & 1)

    @property
    def properties(self) -> Properties:
        """Of a CONNACK of MQTT 5."""
        assert self.kind == CONNACK
        return _read_properties(self.body, 2)


def _read_variable(data: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        octet = data[at]
        number |= (octet & 127) << shift
        at, shift = at + 1, shift + 7
        if octet < 128:
            return number, at


def _read_properties(data: bytes, at: int) -> Properties:
    length, at = _read_variable(data, at)
    end = at + length
    found: Properties = {}
    while at < end:
        key, at = _read_variable(data, at)
        if key in _BYTE:
            found[key], at = data[at], at + 1
        elif key in _TWO_BYTES:
            found[key], at = struct.unpack_from(">H", data, at)[0], at + 2
        elif key in _FOUR_BYTES:
            found[key], at = struct.unpack_from(">I", data, at)[0], at + 4
        elif key in _VARIABLE:
            found[key], at = _read_variable(data, at)
        else:
            texts = []
            for _ in range(2 if key in _PAIR else 1):
                (length,) = struct.unpack_from(">H", data, at)
                texts.append(data[at + 2 : at + 2 + length].decode())
                at += 2 + length
            found[key] = tuple(texts) if key in _PAIR else texts[0]
    return found


def take(buffer: bytearray, version: int) -> Packet | None:
    """Takes one whole packet off the front of `buffer`, if there is one."""
    length, shift, at = 0, 0, 1
    while True:
        if at >= len(buffer):
            return None
        octet = buffer[at]
        length |= (octet & 127) << shift
        at, shift = at + 1, shift + 7
        if octet < 128:
            break
    if len(buffer) < at + length:
        return None
    taken = Packet(buffer[0] >> 4, buffer[0] & 15, bytes(buffer[at : at + length]), version)
    del buffer[: at + length]
    return taken


class Connection:
    """A TCP connection to the MQTT port that does exactly what it is told."""

    def __init__(
        self, address: Address, version: int = V3, bind: str = "", receive_buffer: int = 0
    ) -> None:
        self.version = version
        self.socket = socket.socket()
        self.socket.settimeout(20)
        if bind:
            self.socket.bind((bind, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def send(self, *packets: bytes) -> None:
        """Sends bytes."""
        self.socket.sendall(b"".join(packets))

    def receive(self, within: float = 20) -> Packet | None:
        """The next packet; `None` at the end of the connection; `TimeoutError` where none comes."""
        self.socket.settimeout(within)
        while (got := take(self._buffer, self.version)) is None:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._buffer += data
        return got

    def expect(self, kind: int, within: float = 20) -> Packet:
        """The next packet, which has to be of this kind."""
        got = self.receive(within)
        assert got is not None, f"the hub closed the connection; expected a packet of kind {kind}"
        assert got.kind == kind, f"expected a packet of kind {kind}: {got}"
        return got

    def expect_any(self, *kinds: int) -> Packet:
        """The next packet, which has to be of one of these kinds."""
        got = self.receive()
        assert got is not None, f"the hub closed the connection; expected one of {kinds}"
        assert got.kind in kinds, f"expected one of {kinds}: {got}"
        return got

    def hears_nothing_but_pong(self) -> bool:
        """Whether nothing waits: what comes next is the answer to a PINGREQ sent now."""
        self.send(ping())
        got = self.receive()
        return got is not None and got.kind == PINGRESP

    def end(self, within: float = 20) -> int | None:
        """Reads up to the end of the connection; the code of the DISCONNECT before it, if any."""
        code = None
        while (got := self.receive(within)) is not None:
            if got.kind == DISCONNECT:
                code = got.code
        return code

    def reset(self) -> None:
        """RST."""
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """FIN."""
        self.socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connected(
    address: Address, client_id: str = "", version: int = V3, bind: str = "", **options: Any
) -> tuple[Connection, Packet]:
    """A connection and its CONNACK, which has to be a success."""
    connection = Connection(address, version, bind)
    connection.send(connect(client_id, version, **options))
    connack = connection.expect(CONNACK)
    assert connack.code == 0, f"CONNACK {connack.code:#x}"
    return connection, connack
