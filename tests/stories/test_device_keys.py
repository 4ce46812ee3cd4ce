"""`mqtt.device_key`: a board proves that it is its MAC, and nobody else can be it."""

import hashlib
import hmac
import subprocess
from typing import Any

import pytest

import wire
from api import Api
from client import V3, V5, Client
from conftest import StartHub
from device import JOIN, LEAVE, NAME_ASSIGN, STATUS, Device, fresh_mac
from emulated import EmulatedBoard
from hub import BINARY, Hub, capteur, clean_environment
from waiting import eventually

SECRET = "0123 a secret of the house"

# CONNACK by protocol level: 3.1.1 section 3.2.2.3, MQTT 5 section 3.2.2.2.
CLIENT_ID_NOT_VALID = {V3: 2, V5: 0x85}
BAD_CREDENTIALS = {V3: 4, V5: 0x86}
NOT_AUTHORIZED = {V3: 5, V5: 0x87}


def key_of(mac: str) -> str:
    """A board's key, as the contract has it."""
    return hmac.new(SECRET.encode(), mac.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
def keyed(start_hub: StartHub) -> Hub:
    """A hub whose boards have keys."""
    return start_hub({"mqtt.device_key": SECRET})


def refusal(hub: Hub, version: int, client_id: str = "", **login: Any) -> int:
    """The reason code of the CONNACK to a client that is not let in."""
    with wire.Connection(hub.mqtt, version) as connection:
        connection.send(wire.connect(client_id, version, **login))
        return connection.expect(wire.CONNACK).code


def board(hub: Hub, **options: Any) -> Device:
    """A board with its key."""
    mac = fresh_mac()
    return Device(hub, mac, key=key_of(mac), **options)


@pytest.mark.parametrize("version", [V3, V5])
def test_a_board_with_its_key_is_let_in_and_others_are_not(keyed: Hub, version: int) -> None:
    """User name is the MAC, password the HMAC of it; refusals say which of the two is wrong."""
    first = board(keyed, version=version).boot()
    assert first.name == "capteur01"
    assert Api(keyed).led(first.mac, True).json()["state"] == "confirmed"

    mac = fresh_mac()
    assert refusal(keyed, version) == NOT_AUTHORIZED[version]
    for user, password in [
        (mac, None),
        (mac, ""),
        (mac, "0" * 64),
        (mac, key_of(mac)[:-1]),
        (mac, key_of(first.mac)),
        (mac, SECRET),
        ("capteur01", key_of("capteur01")),
    ]:
        code = refusal(keyed, version, user=user, password=password)
        assert code == BAD_CREDENTIALS[version], (user, password)
    assert len(Api(keyed).devices()) == 1


def test_case_matters_neither_in_the_mac_nor_in_the_key(keyed: Hub) -> None:
    """The key is of the MAC in upper case, however it is spelled."""
    mac = fresh_mac()
    for user, key in [(mac.lower(), key_of(mac)), (mac, key_of(mac).upper())]:
        with wire.connected(keyed.mqtt, user=user, password=key)[0] as connection:
            connection.send(wire.subscribe(NAME_ASSIGN), wire.publish(JOIN, mac.lower()))
            connection.expect(wire.SUBACK)
            told = connection.expect(wire.PUBLISH).payload.split(";")
            keyed.secrets.add(told[2])
            assert told[0] == mac.lower()


def test_a_board_cannot_be_another(keyed: Hub) -> None:
    """Neither by its MAC, nor by its pair, nor by its client id."""
    api = Api(keyed)
    victim, thief = board(keyed).boot(), board(keyed, version=V5)
    thief.connect()
    stolen = victim.current.pair
    assert thief.client.publish(JOIN, victim.mac, 1) == 0x87
    assert thief.client.publish(JOIN, stolen, 1) == 0x87
    assert thief.report("led", 1, stolen, qos=1) == 0x87
    assert thief.hand_in([(1000, 5)], stolen) == 0x87
    assert thief.client.publish(LEAVE, stolen, 1) == 0x87
    assert victim.state == "online"
    assert api.readings(victim.mac, "led") == []

    login = {"user": thief.mac, "password": thief.key}
    for version in (V3, V5):
        code = refusal(keyed, version, victim.client_id, **login)
        assert code == CLIENT_ID_NOT_VALID[version]
    assert victim.client.alive
    assert api.led(victim.mac, True).json()["state"] == "confirmed"


def test_in_an_open_broker_boards_still_have_to_be_who_they_say(start_hub: StartHub) -> None:
    """`full` lets anybody hear and say anything, and nobody be a board without its key."""
    hub = start_hub({"mqtt.device_key": SECRET, "mqtt.anonymous": "full"})
    api, first = Api(hub), board(hub).boot()
    anybody = Client(hub)
    assert anybody.subscribe("#") == [0]
    assert anybody.publish(JOIN, fresh_mac(), 1) == 0x87
    assert anybody.publish(STATUS["led"], f"{first.current.pair};1", 1) == 0x87
    assert first.report("led", 1) == 0
    anybody.wait_heard(1, STATUS["led"])
    api.wait_value(first.mac, "led", True)
    assert anybody.publish("any/thing", "x", 1) in (0, 0x10)
    assert Client(hub, login=("somebody", "password")).alive
    mac = fresh_mac()
    assert refusal(hub, V5, user=mac, password="x") == BAD_CREDENTIALS[V5]
    assert len(api.devices()) == 1


def test_boards_with_keys_are_let_in_where_anonymous_clients_are_not(start_hub: StartHub) -> None:
    """`none` refuses who has no credentials, and a key is one."""
    hub = start_hub({"mqtt.device_key": SECRET, "mqtt.anonymous": "none"})
    assert board(hub).boot().name == "capteur01"
    assert refusal(hub, V5) == NOT_AUTHORIZED[V5]


def test_a_hub_that_asks_for_no_key_lets_boards_with_one_in(hub: Hub) -> None:
    """A board that was given a key works at any hub."""
    assert board(hub).boot().name == "capteur01"


def test_simulated_and_emulated_boards_show_their_keys(keyed: Hub) -> None:
    """The firmware's logic: user name and password come from its settings."""
    api, mac = Api(keyed), fresh_mac()
    simulate = [BINARY, "simulate", "--broker", f"{keyed.mqtt[0]}:{keyed.mqtt[1]}"]
    environment = clean_environment() | {"CAPTEUR_MQTT__DEVICE_KEY": SECRET}
    boards = subprocess.Popen(
        [*simulate, "--devices", "2"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with EmulatedBoard(keyed, mac=mac, key=key_of(mac)):
            api.wait_state(mac, "online", 60)
            online = "online, all three"
            eventually(lambda: [d["state"] for d in api.devices()] == ["online"] * 3, online)
    finally:
        boards.terminate()
        boards.wait(30)


def test_the_secret_is_shown_nowhere(start_hub: StartHub) -> None:
    """Neither by `config print` nor in the most talkative log."""
    hub = start_hub({"mqtt.device_key": SECRET, "log.level": "trace"})
    first = board(hub).boot()
    refusal(hub, V5, user=fresh_mac(), password="a wrong key")
    printed = capteur("config", "print", env={"CAPTEUR_MQTT__DEVICE_KEY": SECRET})
    assert printed.returncode == 0
    assert 'device_key = "****' in printed.stdout
    for text in (printed.stdout, hub.log()):
        assert SECRET not in text
        assert first.key not in text
        assert "a wrong key" not in text


def test_a_short_secret_is_warned_of(start_hub: StartHub) -> None:
    """It would be found by trying."""
    for secret, warned in [("short", True), (SECRET, False)]:
        hub = start_hub({"mqtt.device_key": secret})
        eventually(lambda hub=hub: "store open" in hub.log(), "an open store")
        # A hub that answers has said all that it says at its start.
        Api(hub).devices()
        assert ("mqtt.device_key" in hub.log()) is warned
