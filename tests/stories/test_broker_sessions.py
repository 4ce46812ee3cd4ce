"""The open broker: sessions that outlive their connections, and wills."""

import time

import pytest

import wire
from client import V3, V5, Client, Will
from hub import Hub
from waiting import eventually

LEVELS = pytest.mark.parametrize("version", [wire.V3, wire.V5], ids=["3.1.1", "5"])


def _join(hub: Hub, client_id: str, version: int, clean: bool = False, expiry: int = 3600):
    """A connection with a session that is kept."""
    properties = {wire.SESSION_EXPIRY: expiry} if version == wire.V5 else None
    return wire.connected(hub.mqtt, client_id, version, clean=clean, properties=properties)


@LEVELS
def test_messages_wait_for_a_client_that_is_away(open_hub: Hub, version: int) -> None:
    """QoS 1 and 2 are queued in order, and the session is still there."""
    publisher = Client(open_hub, "pub")
    away, connack = _join(open_hub, "away", version)
    assert not connack.session_present
    away.send(wire.subscribe("w/#", options=2, version=version))
    away.expect(wire.SUBACK)
    away.send(wire.disconnect(version=version))
    away.close()
    for number in range(20):
        publisher.publish("w/x", str(number), 1 + number % 2)
    back, connack = _join(open_hub, "away", version)
    assert connack.session_present
    with back:
        got = []
        while len(got) < 20:
            packet = back.receive()
            assert packet is not None
            if packet.kind == wire.PUBLISH:
                got.append((packet.payload, packet.qos))
                answer = wire.PUBACK if packet.qos == 1 else wire.PUBREC
                back.send(wire.answer(answer, packet.packet_id))
            elif packet.kind == wire.PUBREL:
                back.send(wire.answer(wire.PUBCOMP, packet.packet_id))
        assert got == [(str(n), 1 + n % 2) for n in range(20)]


@LEVELS
def test_what_was_in_flight_is_resumed_with_its_packet_ids(open_hub: Hub, version: int) -> None:
    """PUBLISH again with DUP, PUBREL again; the same ids (MQTT 5, section 4.4)."""
    publisher = Client(open_hub, "pub")
    first, _ = _join(open_hub, "flight", version)
    first.send(wire.subscribe("f", options=2, version=version))
    first.expect(wire.SUBACK)
    for number, qos in enumerate((1, 2, 2)):
        publisher.publish("f", str(number), qos)
    one, two, three = (first.expect(wire.PUBLISH) for _ in range(3))
    assert [p.dup for p in (one, two, three)] == [False] * 3
    first.send(wire.answer(wire.PUBREC, three.packet_id))
    assert first.expect(wire.PUBREL).packet_id == three.packet_id
    first.reset()

    second, connack = _join(open_hub, "flight", version)
    assert connack.session_present
    with second:
        again = [second.expect_any(wire.PUBLISH, wire.PUBREL) for _ in range(3)]
        publishes = [p for p in again if p.kind == wire.PUBLISH]
        assert [(p.packet_id, p.payload, p.dup) for p in publishes] == [
            (one.packet_id, "0", True),
            (two.packet_id, "1", True),
        ]
        (release,) = (p for p in again if p.kind == wire.PUBREL)
        assert release.packet_id == three.packet_id
        second.send(wire.answer(wire.PUBACK, one.packet_id))
        second.send(wire.answer(wire.PUBCOMP, three.packet_id))
        second.send(wire.answer(wire.PUBREC, two.packet_id))
        assert second.expect(wire.PUBREL).packet_id == two.packet_id
        second.send(wire.answer(wire.PUBCOMP, two.packet_id))
        assert second.hears_nothing_but_pong()


@LEVELS
def test_a_qos_2_publish_is_resumed_and_taken_once(open_hub: Hub, version: int) -> None:
    """The connection drops between PUBREC and PUBREL."""
    subscriber = Client(open_hub, "sub")
    subscriber.subscribe("once", qos=2)
    first, _ = _join(open_hub, "sender", version)
    first.send(wire.publish("once", "x", 2, 7, version=version))
    first.expect(wire.PUBREC)
    first.reset()
    second, connack = _join(open_hub, "sender", version)
    assert connack.session_present
    with second:
        second.send(wire.publish("once", "x", 2, 7, version=version, dup=True))
        assert second.expect(wire.PUBREC).packet_id == 7
        second.send(wire.answer(wire.PUBREL, 7))
        assert second.expect(wire.PUBCOMP).packet_id == 7
        second.send(wire.publish("once", "y", 2, 7, version=version))
        second.expect(wire.PUBREC)
        second.send(wire.answer(wire.PUBREL, 7))
        second.expect(wire.PUBCOMP)
    assert subscriber.wait_heard(2) == ["x", "y"]


@LEVELS
def test_a_clean_start_forgets_the_session(open_hub: Hub, version: int) -> None:
    """Subscriptions and queued messages are gone."""
    first, _ = _join(open_hub, "clean", version)
    first.send(wire.subscribe("c", options=1, version=version))
    first.expect(wire.SUBACK)
    first.close()
    Client(open_hub, "pub").publish("c", "queued", 1)
    second, connack = _join(open_hub, "clean", version, clean=True)
    assert not connack.session_present
    with second:
        assert second.hears_nothing_but_pong()


def test_a_session_ends_with_its_expiry(open_hub: Hub) -> None:
    """MQTT 5, section 3.1.2.11.2: at once, after its interval, or as DISCONNECT says."""

    def present(client_id: str) -> bool:
        back, connack = _join(open_hub, client_id, wire.V5)
        back.close()
        return connack.session_present

    for client_id, expiry, last_word in (
        ("at once", 0, None),
        ("short", 1, None),
        ("long", 3600, None),
        ("changed", 3600, {wire.SESSION_EXPIRY: 0}),
    ):
        first, _ = _join(open_hub, client_id, wire.V5, clean=True, expiry=expiry)
        first.send(wire.disconnect(version=wire.V5, properties=last_word))
        assert first.receive() is None
    assert not present("at once")
    assert not present("changed")
    assert present("long")
    time.sleep(2.5)  # the interval of 1 s
    assert not present("short")


@LEVELS
def test_a_plain_clean_session_is_not_kept(open_hub: Hub, version: int) -> None:
    """No expiry in MQTT 5 is 0; clean session in 3.1.1."""
    first, _ = wire.connected(open_hub.mqtt, "plain", version)
    first.send(wire.disconnect(version=version))
    assert first.receive() is None
    second, connack = wire.connected(open_hub.mqtt, "plain", version, clean=False)
    second.close()
    assert not connack.session_present


def test_a_message_expires_while_it_waits(open_hub: Hub) -> None:
    """MQTT 5, section 3.3.2.3.3; what is delivered carries the rest of its time."""
    first, _ = _join(open_hub, "expiry", wire.V5)
    first.send(wire.subscribe("e", options=1, version=wire.V5))
    first.expect(wire.SUBACK)
    first.close()
    publisher = Client(open_hub, "pub")
    publisher.publish("e", "short", 1, MessageExpiryInterval=1)
    publisher.publish("e", "long", 1, MessageExpiryInterval=1000)
    time.sleep(2.5)  # the message's own second
    second, _ = _join(open_hub, "expiry", wire.V5)
    with second:
        assert second.expect(wire.PUBLISH).payload == "long"
        assert second.hears_nothing_but_pong()


def test_a_queue_is_bounded(start_hub) -> None:
    """`mqtt.max_queued_messages`: the hub does not collect for ever."""
    hub = start_hub({"mqtt.anonymous": "full", "mqtt.max_queued_messages": 10})
    first, _ = _join(hub, "away", wire.V5)
    first.send(wire.subscribe("q", options=1, version=wire.V5))
    first.expect(wire.SUBACK)
    first.send(wire.disconnect(version=wire.V5))
    assert first.receive() is None
    publisher = Client(hub, "pub")
    for number in range(200):
        publisher.publish("q", str(number), 1)
    second, _ = _join(hub, "away", wire.V5)
    with second:
        got = []
        second.send(wire.ping())
        while (packet := second.receive()) is not None and packet.kind == wire.PUBLISH:
            got.append(int(packet.payload))
            second.send(wire.answer(wire.PUBACK, packet.packet_id))
    assert 1 <= len(got) <= 10
    assert got == sorted(set(got))


@pytest.mark.parametrize("version", [V3, V5], ids=["3.1.1", "5"])
def test_a_will_is_published_at_every_end_but_a_clean_disconnect(
    open_hub: Hub, version: int
) -> None:
    """FIN, RST, a protocol error, the keep-alive; with its QoS, and retained if asked."""
    observer = Client(open_hub, "observer")
    observer.subscribe("wills", qos=2)
    for qos, end in enumerate(("drop", "cut", "fall_silent")):
        keepalive = 1 if end == "fall_silent" else 60
        will = Will("wills", end, qos)
        dying = Client(open_hub, f"dying {end}", version=version, keepalive=keepalive, will=will)
        getattr(dying, end)()
        got = observer.wait_for(lambda m, e=end: m.payload.decode() == e, end)
        assert (got.qos, got.retain) == (qos, False)
    wire_version = wire.V3 if version == V3 else wire.V5
    rude, _ = wire.connected(open_hub.mqtt, "rude", wire_version, will=("wills", "rude", 1))
    rude.send(b"\xf7\x00")
    observer.wait_for(lambda m: m.payload == b"rude", "rude")
    rude.close()
    polite = Client(open_hub, "polite", version=version, will=Will("wills", "polite", 1))
    polite.close()
    last = Client(open_hub, "last", version=version, will=Will("wills", "kept", 1, retain=True))
    last.cut()
    observer.wait_for(lambda m: m.payload == b"kept", "kept")
    assert "polite" not in observer.heard()
    late = Client(open_hub, "late")
    late.subscribe("wills")
    assert late.wait_heard(1) == ["kept"]


def test_disconnect_with_will_publishes_it(open_hub: Hub) -> None:
    """MQTT 5: DISCONNECT 0x04."""
    observer = Client(open_hub, "observer")
    observer.subscribe("wills", qos=1)
    client, _ = wire.connected(open_hub.mqtt, "c", wire.V5, will=("wills", "on purpose", 1))
    client.send(wire.disconnect(0x04, wire.V5))
    client.close()
    assert observer.wait_heard(1) == ["on purpose"]


def test_a_will_waits_for_its_delay_and_not_longer_than_its_session(open_hub: Hub) -> None:
    """MQTT 5, section 3.1.3.2.2."""
    observer = Client(open_hub, "observer")
    observer.subscribe("wills", qos=1)
    for client_id, delay, expiry in (("delayed", 2, 60), ("session ends", 60, 1)):
        client, _ = wire.connected(
            open_hub.mqtt,
            client_id,
            wire.V5,
            will=("wills", client_id, 1),
            will_properties={wire.WILL_DELAY: delay},
            properties={wire.SESSION_EXPIRY: expiry},
        )
        began = time.monotonic()
        client.reset()
        observer.wait_for(lambda m, c=client_id: m.payload.decode() == c, client_id)
        assert time.monotonic() - began > 0.9, "it did not wait"


def test_a_delayed_will_is_taken_back_when_its_client_comes_again(open_hub: Hub) -> None:
    """The client opens its session again before the delay has passed."""
    observer = Client(open_hub, "observer")
    observer.subscribe("wills", qos=1)
    options = {"clean": False, "properties": {wire.SESSION_EXPIRY: 60}}
    client, _ = wire.connected(
        open_hub.mqtt,
        "returns",
        wire.V5,
        will=("wills", "too hasty", 1),
        will_properties={wire.WILL_DELAY: 2},
        **options,
    )
    client.reset()
    back, connack = wire.connected(open_hub.mqtt, "returns", wire.V5, **options)
    assert connack.session_present
    time.sleep(3)  # the delay
    assert back.hears_nothing_but_pong()
    observer.publish("wills", "end", 1)
    assert observer.wait_heard(1) == ["end"]
    back.close()


def test_paho_finishes_its_messages_over_many_cuts(open_hub: Hub) -> None:
    """A client library with a persistent session gets every message through, each once at QoS 2."""
    subscriber = Client(open_hub, "sub")
    subscriber.subscribe("through/#", qos=2)
    sent = []
    for number in range(5):
        sender = Client(
            open_hub, "sender", version=V5, clean=False, connect={"SessionExpiryInterval": 60}
        )
        for part in range(5):
            sent.append(f"{number}.{part}")
            sender.publish("through/all", sent[-1], 2)
        sender.cut()
    assert subscriber.wait_heard(25) == sent
    eventually(lambda: len(subscriber.heard()) == 25, "no doubles")
