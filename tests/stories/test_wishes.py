"""Names that boards wish for on `state/info`, as they stand in their settings."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api import Api, Json
from conftest import StartHub
from device import Device
from events import Events
from hub import BINARY, Hub, capteur, clean_environment
from waiting import eventually

SETTINGS = "the board's settings"


def _log(api: Api, key: str) -> list[Json]:
    """What the log of a device says of names, oldest first."""
    answer = api.get(f"/devices/{key}/log?limit=1000")
    assert answer.status == 200, answer
    entries = answer.json()["entries"]
    return [e for e in reversed(entries) if e["event"] in ("renamed", "wish_refused")]


def _wish(board: Device, name: str) -> None:
    """Tells a wish, and returns once the hub has taken it in."""
    board.tell(f"chip=esp32c3;lost=0;wish={name}")
    # On one connection, what comes later is heard later.
    value = not (board.api.device(board.mac)["channels"]["button"] or {"value": False})["value"]
    board.report("button", int(value))
    board.api.wait_value(board.mac, "button", value)


def _boot(board: Device, wish: str) -> str:
    """Comes online, tells a wish, and goes; gives the device's name then."""
    board.boot()
    _wish(board, wish)
    board.leave()
    board.wait_offline()
    board.client.close()
    return board.api.device(board.mac)["name"]


def test_a_wish_renames_as_a_person_does(hub: Hub, api: Api) -> None:
    """At once for people; on the wire both pairs count until the new one joins (ruling 8)."""
    board = Device(hub).boot()
    before = api.device(board.mac)
    assert before["name"] == "capteur01"
    events = Events(hub)
    events.snapshot()
    _wish(board, "Küche = 1")
    assert events.wait("device", lambda device: device["name"] == "Küche = 1")
    device = api.device("küche = 1")
    assert device["mac"] == board.mac
    assert set(device) == set(before) | {"info"}
    assert "wish" not in device["info"]
    [renamed] = _log(api, board.mac)
    assert (renamed["event"], renamed["by"]) == ("renamed", SETTINGS)
    assert (renamed["from"], renamed["to"]) == ("capteur01", "Küche = 1")

    # The board obeys and reports under its old pair until it has joined under the new one.
    [assigned] = board.wait_told(1)
    assert assigned.name == "Küche = 1"
    old = board.current
    assert assigned.session > old.session
    assert api.led(board.mac, True).json()["state"] == "confirmed"
    board.current = assigned
    board.reconnect()
    board.start()
    eventually(lambda: api.led(board.mac, False).json().get("state") == "confirmed", "the new pair")
    assert board.commands()[-1] == f"{assigned.pair};0"
    board.report("photoresistor", 33, pair=old.pair, qos=1)
    board.report("photoresistor", 44, qos=1)
    assert api.readings(board.mac, "photoresistor") == [44]
    _wish(board, "Küche = 1")
    assert len(board.told()) == 0, "heeded once"
    assert len(_log(api, board.mac)) == 1


def test_what_a_person_says_stands_until_other_settings_are_flashed(start_hub: StartHub) -> None:
    """Through starts of the board and of the hub."""
    hub = start_hub()
    api = Api(hub)
    board = Device(hub)
    assert _boot(board, "kitchen") == "kitchen"
    assert api.rename("kitchen", "LeBron").status == 200
    assert _boot(board, "kitchen") == "LeBron"
    hub.kill_and_start()
    assert _boot(board, "kitchen") == "LeBron"
    assert _boot(board, "cellar") == "cellar"
    assert board.boot().name == "cellar"
    assert [entry["to"] for entry in _log(api, board.mac)] == ["kitchen", "LeBron", "cellar"]


def test_a_name_that_is_taken_is_in_the_log_once(start_hub: StartHub) -> None:
    """And is not taken later either, when nobody thinks of it any more."""
    hub = start_hub()
    api = Api(hub)
    holder, board = Device(hub).boot(), Device(hub)
    assert api.rename(holder.mac, "Kitchen").status == 200
    for _ in range(2):
        assert _boot(board, "kitchen") == "capteur02"
    hub.kill_and_start()
    assert api.rename("Kitchen", "sofa").status == 200
    assert _boot(board, "kitchen") == "capteur02"
    [refused] = _log(api, board.mac)
    assert (refused["event"], refused["name"]) == ("wish_refused", "kitchen")
    assert set(refused) == {"at", "event", "name"}
    assert api.device(holder.mac)["name"] == "sofa"


def test_a_board_that_wishes_all_the_time_is_heard_once_a_session(hub: Hub, api: Api) -> None:
    """Hostile or broken: it fills neither the log nor the card."""
    board = Device(hub).boot()
    _wish(board, "wish0")
    for number in range(1, 200):
        board.tell(f"wish=wish{number}")
    _wish(board, "last")
    assert api.device(board.mac)["name"] == "wish0"
    assert len(_log(api, board.mac)) == 1
    assert len(board.told()) == 1
    for wish in ("wish= x", "wish=", "wish=61:EC:ED:3B:25:B1", f"wish={'x' * 30}"):
        board.tell(wish)
    _wish(board, "last")
    malformed = 'capteur_messages_rejected_total{kind="malformed",reason="name"}'
    assert api.metrics().get(malformed) == 4, api.metrics()
    assert api.device(board.mac)["name"] == "wish0"


def test_a_new_board_keeps_the_name_that_it_was_given_with_the_place(hub: Hub, api: Api) -> None:
    """Whatever it was flashed with before; and the old one has its wish behind it, too."""
    old, new = Device(hub), Device(hub)
    assert _boot(old, "kitchen") == "kitchen"
    assert _boot(new, "sofa") == "sofa"
    assert api.rename("kitchen", "LeBron").status == 200
    assert api.replace("LeBron", new.mac).status == 200
    assert _boot(new, "sofa") == "LeBron"
    assert api.undo_replacement("LeBron").status == 200
    assert _boot(old, "kitchen") == "LeBron"
    assert _boot(new, "sofa") == "sofa"
    # One that nobody has seen yet.
    third = Device(hub)
    assert api.replace("LeBron", third.mac).status == 200
    assert _boot(third, "attic") == "LeBron"
    assert _boot(third, "cellar") == "cellar"


@contextmanager
def _simulated(hub: Hub, *options: str) -> Iterator[None]:
    """Simulated boards that run as long as the block lasts."""
    boards = subprocess.Popen(
        [BINARY, "simulate", "--broker", f"{hub.mqtt[0]}:{hub.mqtt[1]}", "--at-once", *options],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
        assert boards.poll() is None
    finally:
        boards.send_signal(signal.SIGINT)
        assert boards.wait(30) == 0


def _online(api: Api) -> list[str]:
    return [d["name"] for d in api.devices() if d["state"] == "online"]


def test_a_simulated_board_comes_by_the_name_that_it_wishes_for(hub: Hub, api: Api) -> None:
    """The firmware's logic: it takes the new pair, and its wish is heeded once."""
    with _simulated(hub, "--devices", "1", "--name", "kitchen"):
        eventually(lambda: _online(api) == ["kitchen"], "the kitchen online")
        eventually(lambda: len(_sessions(api, "kitchen")) == 2, "a session under its name")
        assert api.led("kitchen", True).json()["state"] == "confirmed"
        assert api.rename("kitchen", "LeBron").status == 200
        eventually(lambda: len(_sessions(api, "LeBron")) == 3, "a session under that one")
        assert api.led("LeBron", False).json()["state"] == "confirmed"
    api.wait_state("LeBron", "offline")
    with _simulated(hub, "--devices", "1", "--name", "kitchen"):
        eventually(lambda: len(_sessions(api, "LeBron")) == 4, "its next session")
        eventually(lambda: api.device("LeBron").get("info"), "what it tells")
        assert _online(api) == ["LeBron"]
    with _simulated(hub, "--devices", "3", "--name", "cellar", "--name", "a = b"):
        # Which of the two newcomers is heard first, and given the lower number, is chance.
        wanted = [["a = b", number, "cellar"] for number in ("capteur02", "capteur03")]
        eventually(lambda: sorted(_online(api)) in wanted, "each by its name")
    assert len(api.devices()) == 3


def _sessions(api: Api, key: str) -> list[Json]:
    entries = api.get(f"/devices/{key}/log").json()["entries"]
    return [entry for entry in entries if entry["event"] == "joined"]


@pytest.mark.parametrize(
    ("names", "told"),
    [(["a", "b"], "--name is given 2 times, for 1 boards"), (["a;b"], "can't contain ';'")],
)
def test_a_name_that_no_simulated_board_can_wish_for_is_refused(
    names: list[str], told: str
) -> None:
    """64, before any board is switched on."""
    options = [word for name in names for word in ("--name", name)]
    ended = capteur("simulate", "--broker", "127.0.0.1:1", "--devices", "1", *options)
    assert ended.returncode == 64
    assert told in ended.stderr
