"""What boards may say beside the customer's protocol: `photoresistor/backlog` and `state/info`."""

import time

from api import Api
from client import V3, V5
from conftest import StartHub
from device import Device
from events import Events
from hub import Hub
from waiting import eventually

NOT_AUTHORIZED = 0x87


def _points(api: Api, mac: str) -> list[tuple[int, int]]:
    """The light readings: time in Unix milliseconds, and level."""
    return [(at, value) for at, value in api.points(mac, "photoresistor")]


def test_a_backlog_is_dated_and_stored_before_it_is_acknowledged(hub: Hub) -> None:
    """The acknowledgement says that the readings are there, and where."""
    board = Device(hub, version=V5).boot()
    board.report("photoresistor", 40, qos=1)
    before = time.time() * 1000
    assert board.hand_in([(3_600_000, 11), (1_800_000, 12), (10_000, 13)]) == 0
    after = time.time() * 1000
    points = _points(board.api, board.mac)
    assert [value for _, value in points] == [11, 12, 13, 40]
    for (at, _), age in zip(points, (3_600_000, 1_800_000, 10_000), strict=False):
        assert before - age - 50 <= at <= after - age + 50
    assert board.api.device(board.mac)["channels"]["photoresistor"]["value"] == 40


def test_a_backlog_that_comes_again_is_stored_once(hub: Hub) -> None:
    """As after a lost acknowledgement: in another session, with greater ages."""
    board = Device(hub, version=V5).boot()
    readings = [(50_000, 7), (40_000, 7), (30_000, 8), (20_000, 7)]
    sent = time.monotonic()
    assert board.hand_in(readings) == 0
    board.boot()
    late = round((time.monotonic() - sent) * 1000)
    again = [(age + late, level) for age, level in readings]
    assert board.hand_in([*again, (10_000, 7)]) == 0
    assert [value for _, value in _points(board.api, board.mac)] == [7, 7, 8, 7, 7]


def test_a_backlog_outlives_the_hub_and_its_doubles_are_known_after_a_restart(
    start_hub: StartHub,
) -> None:
    """What was acknowledged is there after a kill, and not twice."""
    hub = start_hub()
    board = Device(hub, version=V5).boot()
    sent = time.monotonic()
    assert board.hand_in([(50_000, 7), (40_000, 9)]) == 0
    hub.kill_and_start()
    board = Device(hub, board.mac, version=V5).boot()
    late = round((time.monotonic() - sent) * 1000)
    assert [value for _, value in _points(board.api, board.mac)] == [7, 9]
    assert board.hand_in([(50_000 + late, 7), (40_000 + late, 9)]) == 0
    assert [value for _, value in _points(board.api, board.mac)] == [7, 9]


def test_a_backlog_under_another_session_is_refused(hub: Hub) -> None:
    """So that the board keeps it."""
    board = Device(hub, version=V5).boot()
    old = board.current.pair
    board.boot()
    assert board.hand_in([(1_000, 5)], pair=old) == NOT_AUTHORIZED
    assert _points(board.api, board.mac) == []


def test_what_a_board_tells_about_itself_is_shown(hub: Hub) -> None:
    """In the device, and on the live stream where there is news."""
    board = Device(hub, version=V3).boot()
    assert "info" not in board.api.device(board.mac)
    events = Events(hub)
    events.snapshot()
    board.tell("fw=0.1.0;chip=esp32c3;reset=power-on;rssi=-61;up=5;heap=90000;lost=0;new=1")
    told = events.wait("device", lambda device: "info" in device)
    assert told.data["info"] == {
        "firmware": "0.1.0",
        "chip": "esp32c3",
        "reset": "power-on",
        "rssi": -61,
        "uptime_s": 5,
        "free_heap": 90000,
        "lost_readings": 0,
    }
    board.tell("fw=0.1.0;chip=esp32c3;reset=power-on;rssi=-70;up=305;heap=80000;lost=0")
    eventually(lambda: board.api.device(board.mac)["info"]["rssi"] == -70, "the new signal")
    # A weaker signal is no news; whatever it caused would come before the reading.
    board.report("button", 1)
    events.wait("reading")
    assert len(events.named("device")) == 1


def test_malformed_additions_change_nothing(hub: Hub) -> None:
    """They are counted and dropped as all others are."""
    board = Device(hub, version=V5).boot()
    board.tell("rssi=strong")
    assert board.client.publish("photoresistor/backlog", f"{board.current.pair};1,200", 1) == 0x99
    assert board.client.publish("photoresistor/backlog", f"{board.current.pair}", 1) == 0x99
    assert "info" not in board.api.device(board.mac)
    assert _points(board.api, board.mac) == []
