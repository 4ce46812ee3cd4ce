"""The open broker: what is published arrives as MQTT says, between both protocol levels."""

from contextlib import suppress
from itertools import product

import pytest

import wire
from client import V3, V5, Client
from hub import Hub
from waiting import eventually

NO_MATCHING_SUBSCRIBERS, NO_SUBSCRIPTION_EXISTED = 0x10, 0x11
LEVELS = pytest.mark.parametrize("version", [V3, V5], ids=["3.1.1", "5"])


@LEVELS
def test_delivery_is_at_the_lower_of_both_qos(open_hub: Hub, version: int) -> None:
    """Min(publish, subscribe), each message once (MQTT 5, section 3.8.4)."""
    publisher = Client(open_hub, "publisher", version=version)
    for subscribed in (0, 1, 2):
        subscriber = Client(open_hub, f"sub{subscribed}", version=version)
        assert subscriber.subscribe("room/+/light", qos=subscribed) == [subscribed]
        for published in (0, 1, 2):
            publisher.publish("room/1/light", str(published), published)
        subscriber.wait_heard(3)
        got = [(m.payload.decode(), m.qos, m.retain, m.dup) for m in subscriber.messages]
        assert got == [(str(q), min(q, subscribed), False, False) for q in (0, 1, 2)]
        subscriber.close()


def test_both_levels_hear_one_another(open_hub: Hub) -> None:
    """Properties of MQTT 5 do not reach 3.1.1 clients."""
    clients = {v: Client(open_hub, f"level {v}", version=v) for v in (V3, V5)}
    for client in clients.values():
        client.subscribe("talk", qos=2)
    for number, (speaker, qos) in enumerate(product(clients.values(), (0, 1, 2)), 1):
        speaker.publish("talk", f"{number}", qos)
        for listener in clients.values():
            assert listener.wait_heard(number)[-1] == f"{number}"
    clients[V5].publish(
        "talk",
        "rich",
        1,
        UserProperty=[("a", "1"), ("a", "2")],
        ContentType="text/plain",
        ResponseTopic="answer/here",
        CorrelationData=b"\x00\x01",
        PayloadFormatIndicator=1,
        MessageExpiryInterval=60,
    )
    assert clients[V3].wait_heard(7)[-1] == "rich"
    got = clients[V5].wait_for(lambda m: m.payload == b"rich", "rich").properties
    assert got.UserProperty == [("a", "1"), ("a", "2")]
    assert got.ContentType == "text/plain"
    assert got.ResponseTopic == "answer/here"
    assert got.CorrelationData == b"\x00\x01"
    assert got.PayloadFormatIndicator == 1
    assert got.MessageExpiryInterval in (59, 60)
    assert clients[V3].alive


@LEVELS
def test_messages_of_one_publisher_stay_in_order(open_hub: Hub, version: int) -> None:
    """Five hundred at each QoS (MQTT 5, section 4.6)."""
    subscriber = Client(open_hub, "sub", version=version)
    subscriber.subscribe("order/#", qos=2)
    publisher = Client(open_hub, "pub", version=version)
    for qos in (0, 1, 2):
        for number in range(500):
            publisher.send(f"order/{qos}", str(number), qos)
        heard = subscriber.wait_heard(500, f"order/{qos}")
        assert heard == [str(number) for number in range(500)]


@LEVELS
def test_payloads_of_any_bytes_and_topics_of_any_text_pass(open_hub: Hub, version: int) -> None:
    """Empty, binary, large; blanks, `é`, a leading `/`."""
    subscriber = Client(open_hub, "sub", version=version)
    subscriber.subscribe("#", qos=1)
    publisher = Client(open_hub, "pub", version=version)
    cases = [
        ("a", b""),
        ("é/x", bytes(range(256))),
        ("/", b"x"),
        ("/lead/and/trail/", b"x"),
        ("with blanks in it", b"x"),
        ("a//b", b"x"),
        ("灯" * 100, b"x" * 60_000),
    ]
    for topic, payload in cases:
        publisher.publish(topic, payload, 1)
    subscriber.wait_for(lambda m: m.topic == cases[-1][0], "the last")
    assert [(m.topic, m.payload) for m in subscriber.messages] == cases


def test_wildcards_match_as_the_standard_says(open_hub: Hub) -> None:
    """MQTT 5, section 4.7."""
    publisher = Client(open_hub, "pub")
    for pattern, hears, not_hears in (
        ("a/+/c", ["a/b/c", "a//c"], ["a/b", "a/b/c/d", "A/b/c"]),
        ("a/#", ["a", "a/b", "a/b/c"], ["b", "ab"]),
        ("+", ["a", "b"], ["a/b", "/a"]),
        ("+/+", ["a/b", "/a"], ["a"]),
        ("/+", ["/a"], ["a", "/a/b"]),
        ("#", ["a", "/", "a/b/c"], ["$own/a"]),
        ("+/a", ["b/a"], ["$own/a"]),
    ):
        subscriber = Client(open_hub, "sub")
        assert subscriber.subscribe(pattern, qos=1) == [1]
        for topic in [*not_hears, *hears]:
            if not topic.startswith("$"):
                publisher.publish(topic, topic, 1)
        assert subscriber.wait_heard(len(hears)) == hears, pattern
        subscriber.close()


@LEVELS
def test_retained_messages_greet_the_subscriber(open_hub: Hub, version: int) -> None:
    """Also on a second SUBSCRIBE; an empty retained one deletes, an empty plain one does not."""
    publisher = Client(open_hub, "pub", version=version)
    publisher.publish("lamp/1", "old", 1, retain=True)
    publisher.publish("lamp/1", "on", 2, retain=True)
    publisher.publish("lamp/2", "off", 0, retain=True)
    publisher.publish("lamp/3", "plain", 1)
    subscriber = Client(open_hub, "sub", version=version)
    subscriber.subscribe("lamp/#", qos=1)
    subscriber.wait_heard(2)
    got = {(m.topic, m.payload.decode(), m.qos, m.retain) for m in subscriber.messages}
    assert got == {("lamp/1", "on", 1, True), ("lamp/2", "off", 0, True)}
    subscriber.subscribe("lamp/1", qos=0)
    assert subscriber.wait_heard(3)[2] == "on"
    publisher.publish("lamp/1", "live", 1, retain=True)
    message = subscriber.wait_for(lambda m: m.payload == b"live", "live")
    assert not message.retain, "a message that was waited for is not a retained one"
    publisher.publish("lamp/1", "", 1)
    publisher.publish("lamp/2", "", 1, retain=True)
    late = Client(open_hub, "late", version=version)
    late.subscribe("lamp/#", qos=1)
    late.publish("lamp/end", "end", 1)
    assert late.wait_heard(2) == ["live", "end"]


def test_retain_handling_and_retain_as_published(open_hub: Hub) -> None:
    """MQTT 5, section 3.8.3.1."""
    publisher = Client(open_hub, "pub")
    publisher.publish("r", "kept", 1, retain=True)

    def heard(client: Client) -> list[str]:
        publisher.publish("mark", "mark", 1)
        client.wait_for(lambda m: m.topic == "mark", "mark")
        client.messages, got = [], client.heard("r")
        return got

    client = Client(open_hub, "sub")
    client.subscribe("mark", qos=1)
    client.subscribe("r", qos=1, retainHandling=2)
    assert heard(client) == []
    client.subscribe("r", qos=1, retainHandling=1)
    assert heard(client) == [], "it is no new subscription"
    client.unsubscribe("r")
    client.subscribe("r", qos=1, retainHandling=1)
    assert heard(client) == ["kept"]
    client.subscribe("r", qos=1, retainHandling=0, retainAsPublished=True)
    assert heard(client) == ["kept"]
    publisher.publish("r", "new", 1, retain=True)
    assert client.wait_for(lambda m: m.payload == b"new", "new").retain
    publisher.publish("r", "plain", 1)
    assert not client.wait_for(lambda m: m.payload == b"plain", "plain").retain


def test_retained_messages_keep_their_properties_and_expire(open_hub: Hub) -> None:
    """MQTT 5, section 3.3.2.3.3: what has expired greets nobody."""
    publisher = Client(open_hub, "pub")
    publisher.publish("short", "gone", 1, retain=True, MessageExpiryInterval=1)
    publisher.publish("long", "kept", 1, retain=True, UserProperty=[("k", "v")])

    def greeting() -> list[str]:
        late = Client(open_hub, "late")
        late.subscribe("long", "short", qos=1)
        late.wait_for(lambda m: m.topic == "long", "long")
        late.publish("long", "end", 1)
        late.wait_for(lambda m: m.payload == b"end", "end")
        kept = next(m for m in late.messages if m.payload == b"kept")
        assert kept.properties.UserProperty == [("k", "v")]
        publisher.publish("long", "kept", 1, retain=True, UserProperty=[("k", "v")])
        late.close()
        return late.heard("short")

    eventually(lambda: greeting() == [], "expiry of the retained message")


def test_overlapping_subscriptions_deliver_at_the_highest_qos(open_hub: Hub) -> None:
    """One copy, or one for each (MQTT 5, section 3.3.4); none above what was granted."""
    client = Client(open_hub, "sub")
    client.subscribe("o/#", qos=0, identifier=1)
    client.subscribe("o/+", qos=2, identifier=2)
    client.publish("o/x", "hello", 2)
    client.publish("o/x", "end", 1)
    client.wait_for(lambda m: m.payload == b"end" and m.qos == 1, "end")
    copies = [m for m in client.messages if m.payload == b"hello"]
    assert max(m.qos for m in copies) == 2
    identifiers = [i for m in copies for i in m.properties.SubscriptionIdentifier]
    assert sorted(identifiers) == [1, 2]


def test_a_subscription_that_is_made_again_takes_the_old_ones_place(open_hub: Hub) -> None:
    """New QoS, new identifier; still one copy."""
    client = Client(open_hub, "sub")
    assert client.subscribe("s", qos=0, identifier=1) == [0]
    assert client.subscribe("s", qos=2, identifier=268_435_455) == [2]
    client.publish("s", "x", 2)
    client.publish("s", "end", 2)
    client.wait_heard(2)
    assert client.heard() == ["x", "end"]
    assert {m.qos for m in client.messages} == {2}
    assert client.messages[0].properties.SubscriptionIdentifier == [268_435_455]


def test_no_local_keeps_ones_own_messages_away(open_hub: Hub) -> None:
    """MQTT 5, section 3.8.3.1."""
    client, other = Client(open_hub, "own"), Client(open_hub, "other")
    client.subscribe("n", qos=1, noLocal=True)
    client.publish("n", "mine", 1)
    other.publish("n", "theirs", 1)
    assert client.wait_heard(1) == ["theirs"]


def test_unsubscribe_ends_delivery_and_says_what_it_found(open_hub: Hub) -> None:
    """0x00 and 0x11 in one UNSUBACK."""
    client = Client(open_hub, "sub")
    client.subscribe("u", "v", qos=1)
    assert client.unsubscribe("u", "never") == [0, NO_SUBSCRIPTION_EXISTED]
    client.publish("u", "unheard", 1)
    client.publish("v", "heard", 1)
    assert client.wait_heard(1) == ["heard"]


def test_what_is_refused_carries_its_reason_code(open_hub: Hub) -> None:
    """SUBACK 0x8F; nothing subscribed is 0x00 or 0x10; the connection lives on."""
    client = Client(open_hub, "client")
    assert client.publish("nobody/listens", "x", 1) in (0, NO_MATCHING_SUBSCRIBERS)
    shared = client.subscribe("$share/group/topic", qos=1)[0]
    offered = client.connack_properties.get("SharedSubscriptionAvailable", 1)
    assert (shared < 0x80) == bool(offered), "CONNACK says what the broker cannot do"
    assert shared < 0x80 or shared == 0x9E


@pytest.mark.parametrize("topic", ["a/+", "#", "a/#/b", ""])
def test_a_topic_with_wildcards_cannot_be_published(open_hub: Hub, topic: str) -> None:
    """DISCONNECT 0x90, topic name invalid, or 0x82, protocol error."""
    for version in (wire.V3, wire.V5):
        client, _ = wire.connected(open_hub.mqtt, "c", version)
        with client:
            client.send(wire.publish(topic, "x", 1, version=version))
            assert client.end() in ((None,) if version == wire.V3 else (0x90, 0x82, 0x81))


@pytest.mark.parametrize("pattern", ["a/#/b", "a+", "#a", "", "a/b+/c"])
def test_a_filter_that_is_none_is_refused(open_hub: Hub, pattern: str) -> None:
    """SUBACK 0x8F (0x80 in 3.1.1), or the connection ends with 0x8F, 0x81 or 0x82."""
    for version in (wire.V3, wire.V5):
        client, _ = wire.connected(open_hub.mqtt, "c", version)
        with client:
            client.send(wire.subscribe(pattern, version=version))
            got = client.receive()
            if got is not None and got.kind == wire.SUBACK:
                assert got.code == (0x80 if version == wire.V3 else 0x8F)
            elif version == wire.V5:
                assert got is not None
                assert (got.kind, got.code in (0x8F, 0x81, 0x82)) == (wire.DISCONNECT, True)
            else:
                assert got is None


def test_topic_aliases_are_understood(open_hub: Hub) -> None:
    """A topic and its alias, then the alias alone; an unknown one ends the connection with 0x94."""
    subscriber = Client(open_hub, "sub")
    subscriber.subscribe("alias/#", qos=1)
    client, connack = wire.connected(open_hub.mqtt, "c", wire.V5)
    maximum = connack.properties[wire.TOPIC_ALIAS_MAXIMUM]
    assert maximum >= 2
    with client:
        for alias, topic in (
            (1, "alias/one"),
            (2, "alias/two"),
            (1, ""),
            (2, ""),
            (1, "alias/new"),
        ):
            client.send(
                wire.publish(topic, "x", version=wire.V5, properties={wire.TOPIC_ALIAS: alias})
            )
        client.send(wire.publish("", "x", version=wire.V5, properties={wire.TOPIC_ALIAS: 1}))
        subscriber.wait_heard(6)
        assert [m.topic for m in subscriber.messages] == [
            *("alias/one", "alias/two") * 2,
            *("alias/new",) * 2,
        ]
    for alias, codes in ((0, {0x94, 0x82}), (maximum + 1, {0x94}), (2, {0x94, 0x82})):
        if alias > 0xFFFF:
            continue
        client, _ = wire.connected(open_hub.mqtt, "c", wire.V5)
        with client:
            topic = "" if alias == 2 else "alias/x"
            got = {wire.TOPIC_ALIAS: alias}
            client.send(wire.publish(topic, "x", 1, version=wire.V5, properties=got))
            assert client.end() in codes


def test_receive_maximum_bounds_what_is_in_flight(open_hub: Hub) -> None:
    """Two unacknowledged messages and no more (MQTT 5, section 4.9); QoS 0 is not held up."""
    client, _ = wire.connected(open_hub.mqtt, "c", wire.V5, properties={wire.RECEIVE_MAXIMUM: 2})
    publisher = Client(open_hub, "pub")
    with client:
        client.send(wire.subscribe("q", options=1, version=wire.V5))
        client.expect(wire.SUBACK)
        for number in range(5):
            publisher.publish("q", str(number), 1)
        held = [client.expect(wire.PUBLISH) for _ in range(2)]
        assert [p.payload for p in held] == ["0", "1"]
        assert client.hears_nothing_but_pong()
        client.send(wire.answer(wire.PUBACK, held[0].packet_id))
        third = client.expect(wire.PUBLISH)
        assert third.payload == "2"
        client.send(wire.answer(wire.PUBACK, third.packet_id))
        client.send(wire.answer(wire.PUBACK, held[1].packet_id))
        assert [client.expect(wire.PUBLISH).payload for _ in range(2)] == ["3", "4"]


def test_more_than_the_hubs_receive_maximum_is_refused(open_hub: Hub) -> None:
    """MQTT 5, section 3.3.4: DISCONNECT 0x93, and what was inside the bound was taken."""
    client, connack = wire.connected(open_hub.mqtt, "c", wire.V5)
    bound = connack.properties.get(wire.RECEIVE_MAXIMUM, 65535)
    with client:
        for packet_id in range(1, bound + 2):
            if packet_id > 65535:
                return
            with suppress(ConnectionError):
                client.send(wire.publish("r", "x", 2, packet_id, version=wire.V5))
        assert client.end() == 0x93


def test_a_packet_that_is_too_large_for_the_client_is_not_sent(open_hub: Hub) -> None:
    """Maximum Packet Size (MQTT 5, section 3.1.2.11.4): as if it had been delivered."""
    client, _ = wire.connected(
        open_hub.mqtt, "c", wire.V5, properties={wire.MAXIMUM_PACKET_SIZE: 100}
    )
    publisher = Client(open_hub, "pub")
    with client:
        client.send(wire.subscribe("m", options=1, version=wire.V5))
        client.expect(wire.SUBACK)
        publisher.publish("m", "x" * 200, 1)
        publisher.publish("m", "small", 1)
        assert client.expect(wire.PUBLISH).payload == "small"


def test_qos_2_is_taken_once_however_often_it_is_sent(open_hub: Hub) -> None:
    """A DUP before PUBREL is the same message; PUBREL of an unknown id is answered with 0x92."""
    subscriber = Client(open_hub, "sub")
    subscriber.subscribe("two", qos=2)
    for version in (wire.V3, wire.V5):
        client, _ = wire.connected(open_hub.mqtt, "c", version)
        with client:
            # MQTT 5 forbids to send again on the same connection, 3.1.1 does not.
            for dup in (False, True) if version == wire.V3 else (False,):
                client.send(wire.publish("two", "A", 2, 5, version=version, dup=dup))
                assert client.expect(wire.PUBREC).packet_id == 5
            client.send(wire.publish("two", "B", 2, 6, version=version))
            assert client.expect(wire.PUBREC).packet_id == 6
            for packet_id in (5, 6):
                client.send(wire.answer(wire.PUBREL, packet_id))
                assert client.expect(wire.PUBCOMP).packet_id == packet_id
            client.send(wire.answer(wire.PUBREL, 77))
            unknown = client.expect(wire.PUBCOMP)
            assert unknown.code == (0x92 if version == wire.V5 else 0)
            client.send(wire.publish("two", "C", 2, 5, version=version))
            assert client.expect(wire.PUBREC).packet_id == 5
            client.send(wire.answer(wire.PUBREL, 5))
            client.expect(wire.PUBCOMP)
    assert subscriber.wait_heard(6) == ["A", "B", "C"] * 2


def test_acknowledgements_may_come_in_any_order(open_hub: Hub) -> None:
    """Out of order, and QoS 1 between QoS 2."""
    publisher = Client(open_hub, "pub")
    client, _ = wire.connected(open_hub.mqtt, "c")
    with client:
        client.send(wire.subscribe("k", options=2))
        client.expect(wire.SUBACK)
        for number, qos in enumerate((1, 2, 1, 2)):
            publisher.publish("k", str(number), qos)
        one, two, three, four = (client.expect(wire.PUBLISH) for _ in range(4))
        assert len({p.packet_id for p in (one, two, three, four)}) == 4
        client.send(wire.answer(wire.PUBREC, four.packet_id))
        client.send(wire.answer(wire.PUBACK, three.packet_id))
        client.send(wire.answer(wire.PUBREC, two.packet_id))
        client.send(wire.answer(wire.PUBACK, one.packet_id))
        assert client.expect(wire.PUBREL).packet_id == four.packet_id
        assert client.expect(wire.PUBREL).packet_id == two.packet_id
        client.send(wire.answer(wire.PUBCOMP, four.packet_id))
        client.send(wire.answer(wire.PUBCOMP, two.packet_id))
        assert client.hears_nothing_but_pong()
        client.send(wire.answer(wire.PUBACK, 4711))
        assert client.hears_nothing_but_pong(), "an unknown id is no reason to end the connection"
