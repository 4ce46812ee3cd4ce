"""The customer's own Arduino firmware, as it is: its habits must work for ever.

MQTT 3.1.1, an empty client id, a clean session, QoS 0 for everything it publishes, a will at
QoS 0, and after a lost connection no second join: it just goes on publishing.
"""

from contextlib import suppress

import pytest

from client import V3, Client
from device import Device
from hub import Hub
from waiting import eventually


@pytest.fixture
def arduino(hub: Hub) -> Device:
    """The customer's board, online."""
    return Device(hub, version=V3, client_id="", qos=0, keepalive=5).boot()


def test_it_comes_online_reports_and_obeys(arduino: Device) -> None:
    """Everything at QoS 0."""
    for channel, value in (("led", 1), ("button", 1), ("photoresistor", 58)):
        arduino.report(channel, value)
        shown = value if channel == "photoresistor" else bool(value)
        arduino.api.wait_value(arduino.mac, channel, shown)
    assert arduino.api.led(arduino.mac, False).json()["state"] == "confirmed"
    assert arduino.api.led(arduino.mac, True).json()["state"] == "confirmed"


def test_its_will_at_qos_0_takes_it_offline(arduino: Device) -> None:
    """It is unplugged."""
    arduino.client.drop()
    arduino.wait_offline()


@pytest.mark.parametrize("end", ["cut", "drop", "close"])
def test_it_goes_on_after_a_reconnect_without_a_second_join(arduino: Device, end: str) -> None:
    """Ruling 7: a reading of the current session puts it online again; commands reach it."""
    for value in (1, 2):
        getattr(arduino.client, end)()
        arduino.wait_offline()
        arduino.connect(with_will=True)
        arduino.listen()
        arduino.report("photoresistor", value)
        arduino.wait_online()
        assert arduino.api.led(arduino.mac, value == 1).json()["state"] == "confirmed"
    arduino.api.wait_readings(arduino.mac, "photoresistor", [1, 2])
    arduino.client.cut()
    arduino.wait_offline()


def test_it_goes_on_after_a_restart_of_the_hub(hub: Hub, arduino: Device) -> None:
    """Ruling 9, without a second join."""
    arduino.client.drop()
    hub.kill_and_start()
    arduino.connect(with_will=True)
    arduino.listen()
    arduino.report("button", 1)
    arduino.wait_online()
    assert arduino.api.led(arduino.mac, True).status == 200


def test_the_late_will_of_its_half_open_connection_does_not_keep_it_down(hub: Hub) -> None:
    """It is back long before the hub knows that the old connection is dead; both have one pair."""
    arduino = Device(hub, version=V3, client_id="", qos=0, keepalive=1).boot()
    half_open = arduino.client
    half_open.fall_silent()
    arduino.connect(with_will=True)
    arduino.listen()
    arduino.report("photoresistor", 1)
    arduino.api.wait_readings(arduino.mac, "photoresistor", [1])
    eventually(lambda: _is_gone(half_open), "end of the half-open connection")
    arduino.report("photoresistor", 2)
    arduino.wait_online()
    assert arduino.api.led(arduino.mac, True).json()["state"] == "confirmed"


def _is_gone(client: Client) -> bool:
    """Whether the hub has ended the connection of a client that looks at nothing any more."""
    held = client.paho.socket()
    assert held is not None
    with suppress(BlockingIOError):
        while held.recv(4096):
            pass
        return True
    return False


def test_a_fleet_of_them_without_client_ids_is_told_apart(hub: Hub) -> None:
    """Nothing but the pair says who a reading is from."""
    fleet = [Device(hub, version=V3, client_id="", qos=0).boot() for _ in range(5)]
    for value, board in enumerate(fleet):
        board.report("photoresistor", value)
    for value, board in enumerate(fleet):
        board.api.wait_readings(board.mac, "photoresistor", [value])
        assert board.api.led(board.mac, True).status == 200
        assert board.commands() == [f"{board.current.pair};1"]
    fleet[0].client.cut()
    fleet[0].wait_offline()
    eventually(lambda: {b.state for b in fleet[1:]} == {"online"}, "the others stay online")
