"""Rulings 1, 10, 11 and 12 of the contract: the port, who hears what, commands, a MAC in use."""

import time

import pytest

import wire
from client import V3, V5, Client
from device import COMMAND, JOIN, LEAVE, NAME_ASSIGN, STATUS, Device, fresh_mac
from hub import Hub
from waiting import eventually

# An IPv4 loopback address that is not the one of all the other clients.
ELSEWHERE = "127.0.0.2"

SUBACK_FAILURE_V3, NOT_AUTHORIZED = 0x80, 0x87


# -- ruling 1: one port -----------------------------------------------------------------------


@pytest.mark.parametrize("version", [V3, V5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def ruling_01_one_port_speaks_both_levels_and_any_qos(hub: Hub, version: int, qos: int) -> None:
    """A device may use any QoS on any topic."""
    board = Device(hub, version=version, qos=qos).boot()
    board.report("led", 1)
    board.report("button", 1)
    board.report("photoresistor", 58)
    board.api.wait_value(board.mac, "led", True)
    board.api.wait_value(board.mac, "button", True)
    board.api.wait_value(board.mac, "photoresistor", 58)
    assert board.api.led(board.mac, False).json()["state"] == "confirmed"
    board.leave()
    board.wait_offline()


def ruling_01_an_empty_client_id_is_accepted_with_a_clean_session(hub: Hub) -> None:
    """As the customer's own Arduino firmware connects."""
    first, second = Device(hub, client_id="").boot(), Device(hub, client_id="").boot()
    assert (first.state, second.state) == ("online", "online")
    modern = Client(hub, "", version=V5)
    assert modern.connack_properties["AssignedClientIdentifier"]


def ruling_01_an_empty_client_id_without_a_clean_session_is_refused(hub: Hub) -> None:
    """MQTT 3.1.1, section 3.1.3.1: return code 2, then the connection is closed."""
    with wire.Connection(hub.mqtt) as nameless:
        nameless.send(wire.connect("", clean=False))
        assert nameless.expect(wire.CONNACK).code == 2
        assert nameless.receive() is None


def ruling_01_an_unknown_protocol_level_is_refused_with_its_code(hub: Hub) -> None:
    """The protocol level in CONNECT decides; code 1 or 0x84 for what is neither 3.1.1 nor 5."""
    for level in (3, 6, 0x84):
        with wire.Connection(hub.mqtt) as stranger:
            stranger.send(wire.connect("stranger", level))
            assert stranger.expect(wire.CONNACK).code in (0x01, 0x84)
            assert stranger.receive() is None


def ruling_01_keep_alive_0_is_accepted(hub: Hub) -> None:
    """It turns the keep-alive off (MQTT 5, section 3.1.2.10)."""
    for version in (wire.V3, wire.V5):
        silent, _ = wire.connected(hub.mqtt, "silent", version, keepalive=0)
        with silent:
            silent.socket.settimeout(3)
            with pytest.raises(TimeoutError):
                silent.receive(within=3)
            assert silent.hears_nothing_but_pong()


# -- ruling 10: only the addressee hears ------------------------------------------------------


@pytest.mark.parametrize("version", [V3, V5], ids=["3.1.1", "5"])
def ruling_10_an_eavesdropper_hears_nothing_of_others(hub: Hub, version: int) -> None:
    """A device connection is delivered only the messages that name it."""
    spy = Client(hub, "spy", version=version)
    assert spy.subscribe(NAME_ASSIGN, COMMAND, qos=2) == [2, 2]
    refusal = SUBACK_FAILURE_V3 if version == V3 else NOT_AUTHORIZED
    for forbidden in ("#", "+/+", "state/#", "led/+", "state/join", "led/status", "$SYS/#"):
        assert spy.subscribe(forbidden) == [refusal], forbidden
    known = Device(hub, version=version)
    known.connect()
    known.listen()
    known.ask()

    victim = Device(hub, version=version).boot()
    assert victim.api.led(victim.mac, True).status == 200
    victim.api.rename(victim.mac, "LeBron")
    victim.wait_told(1)
    victim.report("button", 1, qos=1)
    # What was on its way to the spies has arrived once a message of their own has.
    known.ask()
    assert len(known.told()) == 2
    assert known.commands() == []
    mac = fresh_mac()
    spy.publish(JOIN, mac, 1)
    spy.wait_heard(1)
    hub.secrets.add(spy.heard()[0].split(";")[2])
    assert [p.split(";")[0] for p in spy.heard()] == [mac]


def ruling_10_a_device_does_not_hear_what_it_has_not_subscribed(hub: Hub) -> None:
    """Targeted delivery still goes by subscriptions."""
    deaf = Device(hub)
    deaf.connect()
    deaf.client.publish(JOIN, deaf.mac, 2)
    eventually(lambda: deaf.state == "joining", "the session")
    # What another is told goes the same way, behind what nobody hears.
    Device(hub).boot()
    assert deaf.client.subscribe(NAME_ASSIGN) == [0]
    deaf.client.publish(JOIN, deaf.mac, 2)
    deaf.client.wait_heard(1)
    assert len(deaf.told()) == 1


def ruling_10_the_hubs_own_topics_cannot_be_published(hub: Hub, board: Device) -> None:
    """A device may publish `state/join`, `state/leave` and the three status topics."""
    forger = Client(hub, "forger", version=V5)
    for topic in (COMMAND, NAME_ASSIGN, "anything/else", "$SYS/broker/version", "led/status/x"):
        assert forger.publish(topic, f"{board.current.pair};1", 1) == NOT_AUTHORIZED, topic
    assert forger.alive
    assert board.commands() == []
    old = Client(hub, "old forger", version=V3)
    old.publish(COMMAND, f"{board.current.pair};1", 1)
    old.publish(COMMAND, f"{board.current.pair};1", 0)
    assert board.api.led(board.mac, False).status == 200
    assert board.commands() == [f"{board.current.pair};0"]


def ruling_10_what_is_published_under_another_identity_is_refused(hub: Hub) -> None:
    """A connection is bound to the MAC, name and session that it joined with: 0x87 in PUBACK."""
    victim, thief = Device(hub).boot(), Device(hub, version=V5).boot()
    stolen = victim.current.pair
    for topic in STATUS.values():
        assert thief.client.publish(topic, f"{stolen};1", 1) == NOT_AUTHORIZED, topic
    for topic in (LEAVE, JOIN):
        assert thief.client.publish(topic, stolen, 1) == NOT_AUTHORIZED, topic
    assert thief.client.publish(JOIN, victim.mac, 1) == NOT_AUTHORIZED
    for topic in STATUS.values():
        thief.client.publish(topic, f"{stolen};1", 0)
    thief.report("led", 1, qos=1)
    shown = victim.api.device(victim.mac)
    assert shown["state"] == "online"
    assert list(shown["channels"].values()) == [None, None, None]
    assert thief.client.alive, "a refusal is no reason to lose the device"


def ruling_10_a_refusal_at_qos_2_stands_in_the_pubrec(hub: Hub, board: Device) -> None:
    """Refusals are answered: PUBREC carries the reason code, and the exchange is over."""
    forger, _ = wire.connected(hub.mqtt, "forger", wire.V5)
    with forger:
        forger.send(wire.publish(COMMAND, f"{board.current.pair};1", 2, 5, version=wire.V5))
        refusal = forger.expect(wire.PUBREC)
        assert (refusal.packet_id, refusal.code) == (5, NOT_AUTHORIZED)
        assert forger.hears_nothing_but_pong()


def ruling_10_a_will_under_another_identity_has_no_effect(hub: Hub, board: Device) -> None:
    """A will is published by its connection, and bound as that is."""
    thief, _ = wire.connected(
        hub.mqtt, "thief", wire.V5, will=(LEAVE, f"{board.name};1743946777.603371", 2)
    )
    thief.reset()
    forger = wire.Connection(hub.mqtt, wire.V5)
    forger.send(wire.connect("forger", wire.V5, will=(COMMAND, f"{board.current.pair};1", 1)))
    answer = forger.expect(wire.CONNACK)
    assert answer.code in (0, NOT_AUTHORIZED)
    forger.reset()
    assert board.api.led(board.mac, False).status == 200
    assert board.commands() == [f"{board.current.pair};0"]
    assert board.state == "online"


# -- ruling 11: commands ----------------------------------------------------------------------


def ruling_11_a_command_is_done_only_when_its_value_comes_back(hub: Hub) -> None:
    """Published on `led/command` (QoS 1) as `name;session_id;1|0` with the pair of now."""
    board = Device(hub, obedient=False).boot()
    issued = board.api.led(board.mac, True, wait=False)
    assert issued.status == 202
    where = issued.headers["location"].removeprefix("/api/v1")
    (heard,) = board.client.wait_heard(1, COMMAND)
    assert heard == f"{board.current.pair};1"
    message = board.client.wait_for(lambda m: m.topic == COMMAND, "command")
    assert (message.qos, message.retain) == (1, False)
    board.report("led", 0, qos=1)
    assert board.api.get(where).json()["state"] == "sent", "another value is no confirmation"
    board.report("led", 1, qos=1)
    eventually(lambda: board.api.get(where).json()["state"] == "confirmed", "confirmation")


# -- ruling 12: a MAC in use ------------------------------------------------------------------


def ruling_12_a_mac_in_use_cannot_be_taken_from_another_address(hub: Hub, board: Device) -> None:
    """A `state/join` with its MAC from another network address is ignored."""
    thief = Device(hub, board.mac, client_id="thief", bind=ELSEWHERE)
    thief.connect()
    thief.listen()
    for qos in (0, 1, 2):
        thief.client.publish(JOIN, thief.mac, qos)
    board.report("photoresistor", 7, qos=1)
    assert board.state == "online"
    assert board.api.readings(board.mac, "photoresistor") == [7], "the victim's session lives"
    other = fresh_mac()
    thief.client.publish(JOIN, other, 1)
    thief.client.wait_heard(1)
    hub.secrets.add(thief.client.heard()[0].split(";")[2])
    assert thief.client.heard()[0].startswith(other), "nothing was said to the thief"

    board.client.cut()
    board.wait_offline()
    heir = Device(hub, board.mac, client_id="heir", bind=ELSEWHERE).boot()
    assert heir.name == board.name, "the MAC is free once its connection has ended"


def ruling_12_a_device_that_came_back_by_a_reading_is_as_safe(hub: Hub, board: Device) -> None:
    """The customer's firmware does not join again; its connection is as live as any."""
    board.client.cut()
    board.wait_offline()
    board.connect(with_will=True)
    board.listen()
    board.report("photoresistor", 1, qos=1)
    board.wait_online()
    thief = Device(hub, board.mac, client_id="thief", bind=ELSEWHERE)
    thief.connect()
    thief.listen()
    thief.client.publish(JOIN, thief.mac, 2)
    board.report("photoresistor", 2, qos=1)
    assert board.api.readings(board.mac, "photoresistor") == [1, 2]
    assert thief.told() == []


def ruling_12_a_device_that_has_left_can_be_taken_from_anywhere(hub: Hub, board: Device) -> None:
    """The ruling protects what is online."""
    board.leave()
    board.wait_offline()
    heir = Device(hub, board.mac, client_id="heir", bind=ELSEWHERE).boot()
    assert heir.name == board.name


def ruling_12_a_rebooted_board_gets_in_within_one_and_a_half_keep_alives(hub: Hub) -> None:
    """A board that rebooted repeats its join, here from a new address."""
    board = Device(hub, keepalive=1).boot()
    board.client.fall_silent()
    again = Device(hub, board.mac, client_id="again", bind=ELSEWHERE)
    again.connect()
    again.listen()
    deadline = time.monotonic() + 20
    while not again.told():
        assert time.monotonic() < deadline, "the board never got in again"
        again.client.publish(JOIN, again.mac, 2)
        time.sleep(0.1)  # the board's own pause between repeats
    again.current = again.told()[-1]
    again.reconnect()
    again.start()
    again.wait_online()


def ruling_12_from_the_same_address_a_mac_is_taken_at_once(hub: Hub, board: Device) -> None:
    """A board that rebooted while its old connection is half open."""
    before = board.current
    again = Device(hub, board.mac, client_id="another id").boot()
    assert again.current.session > before.session
    board.report("photoresistor", 1, before.pair, qos=1)
    again.report("photoresistor", 2, qos=1)
    assert board.api.readings(board.mac, "photoresistor") == [2]


def ruling_12_under_the_same_client_id_a_mac_is_taken_at_once(hub: Hub, board: Device) -> None:
    """The take-over has ended the old connection."""
    again = Device(hub, board.mac, bind=ELSEWHERE).boot()
    assert again.name == board.name
    board.client.wait_ended()
    assert again.state == "online"
