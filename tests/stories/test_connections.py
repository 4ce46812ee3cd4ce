"""Connections that end, half end, or are taken over: presence and wills follow them."""

import time

import pytest

import wire
from api import Api
from client import V3, V5, Client, Will
from device import COMMAND, JOIN, LEAVE, NAME_ASSIGN, Assignment, Device, fresh_mac
from hub import Hub
from waiting import eventually

SESSION_TAKEN_OVER, KEEP_ALIVE_TIMEOUT = 0x8E, 0x8D


@pytest.mark.parametrize("version", [V3, V5], ids=["3.1.1", "5"])
def test_a_client_id_is_taken_over_and_the_old_connection_is_told(
    open_hub: Hub, version: int
) -> None:
    """MQTT 5, section 3.1.4: DISCONNECT 0x8E; the old connection's will goes out, never the new."""
    observer = Client(open_hub, "observer")
    observer.subscribe("wills", qos=2)
    first = Client(open_hub, "same", version=version, will=Will("wills", "first", 1))
    second = Client(open_hub, "same", version=version, will=Will("wills", "second", 1))
    told = first.wait_ended()
    if version == V5:
        assert told == SESSION_TAKEN_OVER
    assert observer.wait_heard(1, "wills") == ["first"]
    assert second.publish("still/there", "", 1) in (0, 0x10)
    observer.publish("wills", "end", 1)
    assert observer.wait_heard(2, "wills") == ["first", "end"]
    second.cut()
    assert observer.wait_heard(3, "wills") == ["first", "end", "second"]


def test_a_take_over_leaves_the_device_online(hub: Hub) -> None:
    """The old connection's leave must not take the new one down."""
    board = Device(hub).boot()
    for _ in range(10):
        board.connect(with_will=True)  # the same client id, and the old connection still there
        board.listen()
        board.start()
        board.report("led", 1, qos=1)
        board.wait_online()
        assert board.api.led(board.mac, False).status == 200


@pytest.mark.parametrize("version", [V3, V5], ids=["3.1.1", "5"])
def test_a_half_open_connection_is_offline_although_commands_go_down_to_it(
    hub: Hub, version: int
) -> None:
    """1.5 keep-alives without a packet from the board, whatever goes out to it."""
    board = Device(hub, version=version, keepalive=2).boot()
    board.client.fall_silent()
    began = time.monotonic()
    on = False
    while board.state == "online":
        on = not on
        board.api.led(board.mac, on, wait=False)
        assert time.monotonic() - began < 15, "commands keep a dead connection alive"
        time.sleep(0.05)  # the pace of the downlink
    assert board.state == "offline"


def test_a_connection_that_trickles_a_packet_is_half_open(hub: Hub) -> None:
    """A packet that never ends is no sign of life."""
    for version in (wire.V3, wire.V5):
        trickle, _ = wire.connected(hub.mqtt, "trickle", version, keepalive=1)
        with trickle:
            trickle.send(wire.publish("led/status", "x" * 60, version=version)[:-30])
            began = time.monotonic()
            code = trickle.end()
            assert time.monotonic() - began < 10
            assert code in (None, KEEP_ALIVE_TIMEOUT)


def test_a_quiet_client_that_pings_is_kept(hub: Hub) -> None:
    """PINGREQ is enough."""
    board = Device(hub, keepalive=1).boot()
    time.sleep(4)  # several keep-alives: paho pings
    assert board.state == "online"
    assert board.client.alive


def test_a_cut_takes_a_device_offline_at_once(hub: Hub) -> None:
    """RST and FIN are seen as they come; no keep-alive has to pass."""
    for end in ("cut", "drop"):
        board = Device(hub, keepalive=3600).boot()
        getattr(board.client, end)()
        board.wait_offline(within=15)


def _play(hub: Hub, mac: str, client_id: str) -> tuple[wire.Connection, Assignment]:
    """The whole procedure over a bare socket, as fast as it goes."""
    first, _ = wire.connected(hub.mqtt, client_id)
    first.send(wire.subscribe(NAME_ASSIGN), wire.publish(JOIN, mac))
    first.expect(wire.SUBACK)
    _, name, session = first.expect(wire.PUBLISH).payload.split(";")
    hub.secrets.add(session)
    given = Assignment(name, session)
    first.send(wire.disconnect())
    first.close()
    second, _ = wire.connected(hub.mqtt, client_id, will=(LEAVE, given.pair, 2))
    second.send(wire.subscribe(COMMAND), wire.publish(JOIN, given.pair, 1, 9))
    second.expect(wire.SUBACK)
    assert second.expect(wire.PUBACK).packet_id == 9
    return second, given


def test_a_hundred_quick_reconnects_give_no_spurious_will(open_hub: Hub) -> None:
    """Our join is a quick reconnect: a clean DISCONNECT sends no will; the board ends online."""
    api, mac = Api(open_hub), fresh_mac()
    observer = Client(open_hub, "observer")
    observer.subscribe("wills", qos=1)
    for number in range(100):
        quick, _ = wire.connected(open_hub.mqtt, "quick", will=("wills", f"spurious {number}", 0))
        quick.send(wire.disconnect())
        quick.close()
    last, _ = _play(open_hub, mac, "quick")
    api.wait_state(mac, "online")
    observer.publish("wills", "end", 1)
    assert observer.wait_heard(1, "wills") == ["end"]
    last.close()


def test_a_hundred_reboots_end_online(open_hub: Hub) -> None:
    """Every step of the protocol, with and without a DISCONNECT: one leave for each session."""
    api, mac = Api(open_hub), fresh_mac()
    observer = Client(open_hub, "observer")
    observer.subscribe(LEAVE, qos=2)
    started = []
    for number in range(100):
        held, given = _play(open_hub, mac, "quick")
        started.append(given.pair)
        assert api.state(mac) == "online", f"after round {number}"
        if number % 3 == 0:
            held.reset()
        elif number % 3 == 1:
            held.send(wire.disconnect())
            held.close()
        else:
            held.close()
    api.wait_state(mac, "offline")
    held, given = _play(open_hub, mac, "quick")
    assert given.name == "capteur01"
    api.wait_state(mac, "online")
    assert held.hears_nothing_but_pong()
    observer.publish("mark", "", 1)
    left = observer.wait_heard(100, LEAVE)
    order = [started.index(pair) for pair in left if pair in started]
    assert order == list(range(100)), f"one leave for each session, in order: {order}"
    assert left == started, "and none for the one that is alive"
    held.close()


@pytest.mark.parametrize("end", ["disconnect", "reset", "close", "nothing"])
def test_a_hundred_quick_reconnects_under_one_pair_stay_online(open_hub: Hub, end: str) -> None:
    """The end of a connection is told before anything that its successor says."""
    api, mac = Api(open_hub), fresh_mac()
    observer = Client(open_hub, "observer")
    observer.subscribe(LEAVE, qos=2)
    held, given = _play(open_hub, mac, "quick")
    for number in range(100):
        if end == "disconnect":
            held.send(wire.disconnect())
        if end == "reset":
            held.reset()
        elif end != "nothing":
            held.close()
        before = held
        held, _ = wire.connected(open_hub.mqtt, "quick", will=(LEAVE, given.pair, 2))
        held.send(wire.publish(JOIN, given.pair, 1, 9))
        held.expect(wire.PUBACK)
        observer.wait_heard(number + 1, LEAVE)
        assert api.state(mac) == "online", f"after round {number}"
        before.close()
    assert len(observer.heard(LEAVE)) == 100
    held.close()


def test_fifty_drops_give_the_old_wills_and_never_a_new_one(open_hub: Hub) -> None:
    """Each connection's will once, in order, although the next one is there at once."""
    observer = Client(open_hub, "observer")
    observer.subscribe("wills", qos=1)
    for number in range(50):
        held, _ = wire.connected(open_hub.mqtt, "drops", will=("wills", str(number), 1))
        held.reset()
    alive, _ = wire.connected(open_hub.mqtt, "drops", will=("wills", "new", 1))
    wills = observer.wait_heard(50, "wills")
    assert alive.hears_nothing_but_pong()
    assert wills == [str(number) for number in range(50)]
    alive.send(wire.disconnect())
    alive.close()
    observer.publish("wills", "end", 1)
    assert observer.wait_heard(51, "wills")[50:] == ["end"]


def test_a_silent_newcomer_is_shown_the_door(start_hub) -> None:
    """A new connection has `mqtt.connect_timeout_ms` to send its CONNECT."""
    hub = start_hub({"mqtt.connect_timeout_ms": 500})
    silent, half = wire.Connection(hub.mqtt), wire.Connection(hub.mqtt)
    half.send(wire.connect("half")[:-2])
    board = Device(hub).boot()
    assert silent.end() is None
    assert half.end() is None
    assert board.state == "online"


def test_more_connections_than_allowed_are_refused_and_the_others_live(start_hub) -> None:
    """CONNACK says why: 3 (server unavailable), or 0x97 or 0x89 in MQTT 5."""
    hub = start_hub({"mqtt.max_connections": 5, "mqtt.anonymous": "full"})
    held = [wire.connected(hub.mqtt, f"held {n}", keepalive=0)[0] for n in range(5)]
    for version, codes in ((wire.V3, {3}), (wire.V5, {0x97, 0x89, 0x88})):
        for _ in range(3):
            with wire.Connection(hub.mqtt, version) as refused:
                refused.send(wire.connect("one more", version))
                assert refused.expect(wire.CONNACK).code in codes
                assert refused.end() is None
    assert all(connection.hears_nothing_but_pong() for connection in held)
    held.pop().close()

    def let_in() -> bool:
        with wire.Connection(hub.mqtt) as again:
            again.send(wire.connect("one more"))
            return again.expect(wire.CONNACK).code == 0

    eventually(let_in, "room after one has left")


def test_anonymous_none_refuses_everybody_with_a_code(start_hub) -> None:
    """Refusals are answered in CONNACK: 5 in 3.1.1, 0x87 in 5."""
    hub = start_hub({"mqtt.anonymous": "none"})
    for version, codes in ((wire.V3, {4, 5}), (wire.V5, {0x86, 0x87})):
        with wire.Connection(hub.mqtt, version) as stranger:
            stranger.send(wire.connect("stranger", version))
            assert stranger.expect(wire.CONNACK).code in codes
            assert stranger.end() is None


def test_a_stop_tells_the_clients(open_hub: Hub) -> None:
    """SIGTERM: connections are told (MQTT 5: DISCONNECT 0x8B), and no will is lost."""
    modern = Client(open_hub, "modern", version=V5)
    old, _ = wire.connected(open_hub.mqtt, "old")
    assert open_hub.stop() == 0
    assert modern.wait_ended() == 0x8B
    assert old.end() is None, "3.1.1 has no DISCONNECT from the server"
