"""Malformed and hostile packets: the hub lives, and others do not notice."""

import random
import socket
import struct
from collections.abc import Iterator

import pytest

import wire
from api import Api
from client import Client
from device import JOIN, LEAVE, NAME_ASSIGN, Device
from events import Events
from hub import Hub
from waiting import eventually

TOPICS = [
    JOIN,
    LEAVE,
    NAME_ASSIGN,
    "led/command",
    "led/status",
    "é/x",
    "$SYS/x",
    "a/b",
    "#",
    "",
    "/",
]
PAYLOADS = ["5A:C0:FF:EE:00:01", "capteur01;1743946777.603371;1", "capteur01;1743946777.603371", ""]


def _valid(rng: random.Random, version: int) -> bytes:
    """A packet that a client might send."""
    properties = (
        {wire.USER_PROPERTY: ("k", "v")} if version == wire.V5 and rng.random() < 0.3 else {}
    )
    packet_id = rng.choice([0, 1, 2, 7, 65535])
    match rng.randrange(9):
        case 0 | 1 | 2:
            return wire.publish(
                rng.choice(TOPICS),
                rng.choice(PAYLOADS),
                rng.randrange(3),
                packet_id,
                version=version,
                retain=rng.random() < 0.2,
                dup=rng.random() < 0.2,
                properties=properties,
            )
        case 3 | 4:
            filters = rng.choices([*TOPICS, "$share/g/t", "a/#/b", "+", "a+", "+/+"], k=2)
            return wire.subscribe(
                *filters, options=rng.randrange(4), packet_id=packet_id, version=version
            )
        case 5:
            return wire.unsubscribe(rng.choice(TOPICS), packet_id=packet_id, version=version)
        case 6:
            kind = rng.choice([wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP])
            return wire.answer(kind, packet_id)
        case 7:
            return wire.connect("again", version)
        case _:
            return wire.packet(rng.randrange(16), rng.randrange(16), rng.randbytes(4))


def _mutated(rng: random.Random, packet: bytes) -> bytes:
    """The packet with bits turned over, bytes lost, doubled or made up."""
    raw = bytearray(packet)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(raw)) if raw else 0
        match rng.randrange(5):
            case 0 if raw:
                raw[at] ^= 1 << rng.randrange(8)
            case 1 if raw:
                raw[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                del raw[at : at + rng.randrange(4)]
            case 3:
                raw[at:at] = rng.randbytes(rng.randrange(1, 5))
            case _:
                raw += rng.randbytes(rng.randrange(1, 30))
    return bytes(raw)


def _session(rng: random.Random) -> Iterator[bytes]:
    """What one hostile client sends."""
    version = rng.choice([wire.V3, wire.V5])
    hello = wire.connect(
        rng.choice(["", "a", "b/#", "x" * 300]),
        version,
        clean=rng.random() < 0.7,
        keepalive=rng.choice([0, 1, 60]),
        will=(rng.choice(TOPICS[:7]), rng.choice(PAYLOADS), rng.randrange(3))
        if rng.random() < 0.5
        else None,
    )
    yield _mutated(rng, hello) if rng.random() < 0.15 else hello
    for _ in range(rng.randrange(1, 12)):
        packet = _valid(rng, version)
        yield _mutated(rng, packet) if rng.random() < 0.25 else packet


def _attack(hub: Hub, rng: random.Random) -> int:
    """One hostile connection; the number of its packets."""
    with socket.create_connection(hub.mqtt, 20) as attacker:
        packets = list(_session(rng))
        try:
            attacker.sendall(b"".join(packets))
            attacker.settimeout(0.01)
            while attacker.recv(65536):
                pass
        except (ConnectionError, TimeoutError):
            pass
        if rng.random() < 0.5:
            attacker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return len(packets)


@pytest.mark.parametrize("mode", ["device", "full"])
def test_thousands_of_random_and_mutated_packets_change_nothing_for_others(
    start_hub, mode: str
) -> None:
    """Seeded; the boards stay online, the memory stays bounded, nothing panics."""
    hub = start_hub({"mqtt.anonymous": mode})
    api = Api(hub)
    boards = [Device(hub, keepalive=5).boot() for _ in range(3)]
    events = Events(hub)
    events.snapshot()
    rng = random.Random(20260101)
    before = hub.resident_bytes()
    sent = 0
    while sent < 20_000:
        sent += _attack(hub, rng)
    for number, board in enumerate(boards):
        assert board.client.alive
        board.report("photoresistor", number, qos=1)
        assert api.led(board.mac, True).status == 200
    mine = {board.mac for board in boards}
    for event in events.named("device"):
        assert event.data["mac"] not in mine or event.data["state"] == "online"
    assert hub.resident_bytes() - before < 128 << 20
    assert api.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x10\xff\xff\xff\xff\x7f",
        b"\x10\xff\xff\xff\x7f",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xe0\x00",
        b"\xc0\x00",
        wire.publish("a", "b"),
        wire.connect("a") + wire.connect("a"),
        wire.connect("a") + wire.packet(wire.SUBSCRIBE, 0, b"\0\1\0\1a\0"),
        wire.connect("a") + wire.packet(wire.SUBSCRIBE, 2, b"\0\1"),
        wire.connect("a") + wire.packet(wire.PUBLISH, 6, b"\0\1a\0\1"),
        wire.connect("a") + wire.packet(wire.CONNACK, 0, b"\0\0"),
        wire.connect("a") + wire.packet(wire.PINGREQ, 1, b""),
        wire.connect("a") + wire.publish(b"\xff\xfe", "x"),
        wire.connect("a") + wire.publish("a\0b", "x"),
        wire.connect("a") + wire.publish("led/status", "x", 1, 0),
        wire.connect("a", wire.V5) + wire.packet(wire.AUTH, 0, b"\x18\0"),
        wire.connect("a", wire.V5, properties={wire.RECEIVE_MAXIMUM: 0}),
        wire.packet(wire.CONNECT, 0, wire.binary("MQTT") + b"\x04\x03\0\x3c" + wire.binary("a")),
        wire.packet(wire.CONNECT, 0, wire.binary("MQTT") + b"\x04\x1e\0\x3c" + wire.binary("a")),
        wire.packet(wire.CONNECT, 0, wire.binary("HTTP") + b"\x04\x02\0\x3c" + wire.binary("a")),
    ],
)
def test_what_is_not_mqtt_ends_its_own_connection(hub: Hub, raw: bytes) -> None:
    """A protocol error closes the connection (MQTT 5, section 4.13)."""
    with wire.Connection(hub.mqtt) as attacker:
        attacker.send(raw)
        attacker.end()
    assert Device(hub).boot().state == "online"


def test_a_packet_larger_than_allowed_is_refused_before_it_is_read(start_hub) -> None:
    """`mqtt.max_packet_bytes`; MQTT 5: DISCONNECT 0x95."""
    hub = start_hub({"mqtt.max_packet_bytes": 1024, "mqtt.anonymous": "full"})
    for version in (wire.V3, wire.V5):
        big, connack = wire.connected(hub.mqtt, "big", version)
        with big:
            big.send(wire.publish("a", "x" * 900, 1, version=version))
            assert big.expect(wire.PUBACK).packet_id == 1
            big.send(wire.publish("a", "x" * 1024, 1, version=version)[:16])
            code = big.end()
            if version == wire.V5:
                assert connack.properties[wire.MAXIMUM_PACKET_SIZE] == 1024
                assert code == 0x95


def test_a_reader_that_takes_nothing_is_dropped_and_costs_no_memory(start_hub) -> None:
    """`mqtt.write_timeout_ms`, bounded queues; the publisher is not held up."""
    hub = start_hub({"mqtt.anonymous": "full", "mqtt.write_timeout_ms": 1000})
    stuck = wire.Connection(hub.mqtt, receive_buffer=4096)
    stuck.send(wire.connect("stuck", keepalive=0), wire.subscribe("flood"))
    stuck.expect(wire.CONNACK)
    stuck.expect(wire.SUBACK)
    healthy = Client(hub, "healthy")
    healthy.subscribe("calm", qos=1)
    flooder = Client(hub, "flooder")
    before = hub.resident_bytes()
    cut = 'capteur_mqtt_connections_cut_total{reason="write_timeout"}'

    def dropped() -> bool:
        for number in range(500):
            flooder.publish("flood", b"x" * 16_000, 1 if number % 50 == 49 else 0)
        return Api(hub).metrics()[cut] == 1

    eventually(dropped, "end of the connection that takes nothing")
    assert hub.resident_bytes() - before < 96 << 20
    flooder.publish("calm", "still here", 1)
    assert healthy.wait_heard(1) == ["still here"]
    stuck.end()  # what fitted into the sockets' buffers, then the end
    stuck.close()


def test_twenty_thousand_topics_cost_no_memory(start_hub) -> None:
    """The router never forgets a topic: it must not see them."""
    hub = start_hub({"mqtt.anonymous": "full"})
    listener, speaker = Client(hub, "listener"), wire.connected(hub.mqtt, "speaker")[0]
    listener.subscribe("topics/+/of/+/levels", qos=1)

    def round_of_topics(start: int) -> None:
        for number in range(start, start + 10_000):
            speaker.send(wire.publish(f"topics/{number}/of/many/levels", str(number)))
        speaker.send(wire.publish(f"topics/{start}/of/many/levels", f"end {start}", 1))
        speaker.expect(wire.PUBACK)
        listener.wait_for(lambda m: m.payload.decode() == f"end {start}", "the last")

    round_of_topics(0)
    before = hub.resident_bytes()
    round_of_topics(10_000)
    assert hub.resident_bytes() - before < 8 << 20
    assert Device(hub).boot().state == "online"


def test_a_storm_of_connections_that_never_speak_leaves_room_for_boards(hub: Hub) -> None:
    """Five hundred silent sockets."""
    crowd = [socket.create_connection(hub.mqtt) for _ in range(500)]
    board = Device(hub).boot()
    for held in crowd:
        held.close()
    board.report("led", 1, qos=1)
    eventually(lambda: board.state == "online", "still online")
