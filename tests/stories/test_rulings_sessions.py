"""Rulings 2 to 9 of the contract: names, sessions, presence."""

import re
from itertools import pairwise
from urllib.parse import quote

import pytest

import wire
from api import Api
from client import V5, Client
from device import JOIN, NAME_ASSIGN, STATUS, Assignment, Device, fresh_mac
from events import Events
from hub import Hub, wrong_clock
from waiting import eventually

SESSION = re.compile(r"^\d{10}\.\d{6}$")


# -- ruling 2: names --------------------------------------------------------------------------


def ruling_02_names_are_the_prefix_and_one_more_than_the_highest_number_ever_given(
    hub: Hub, api: Api
) -> None:
    """First assignment is `capteurNN`, NN = one more than the highest number ever given out."""
    for number in range(1, 101):
        with wire.connected(hub.mqtt)[0] as newcomer:
            newcomer.send(wire.subscribe(NAME_ASSIGN), wire.publish(JOIN, mac := fresh_mac()))
            newcomer.expect(wire.SUBACK)
            told = newcomer.expect(wire.PUBLISH).payload.split(";")
            hub.secrets.add(told[2])
            assert told[:2] == [mac, f"capteur{number:02}"]
    assert [d["name"] for d in api.devices()] == sorted(d["name"] for d in api.devices())
    assert api.forget("capteur100").status == 204
    hub.restart()
    assert Device(hub).boot().name == "capteur101", "a number is never given out twice"


def ruling_02_a_device_keeps_its_name_until_a_person_renames_it(hub: Hub, api: Api) -> None:
    """A device keeps its name for ever, through any number of sessions and restarts of the hub."""
    first, second = Device(hub).boot(), Device(hub).boot()
    assert (first.name, second.name) == ("capteur01", "capteur02")
    for restart in (hub.restart, hub.kill_and_start):
        second.client.cut()
        restart()
        second.boot()
        assert second.name == "capteur02"
    assert api.rename(second.mac, "LeBron").status == 200
    hub.kill_and_start()
    second.client.cut()
    assert second.boot().name == "LeBron"
    first.client.cut()
    assert first.boot().name == "capteur01"


def ruling_02_a_default_name_that_a_person_has_given_is_not_given_again(
    hub: Hub, api: Api, board: Device
) -> None:
    """Names are unique among devices without regard to case."""
    assert api.rename(board.mac, "CAPTEUR02").status == 200
    second = Device(hub).boot()
    assert second.name.lower() not in ("capteur01", "capteur02")
    assert second.name.startswith("capteur")


@pytest.mark.parametrize(
    "name",
    [
        "LeBron",
        "1",
        "54",
        "two words",
        "x" * 29,
        "é" * 14 + "x",
        "灯",
        "#+$/",
        "a%2Fb",
        "..",
        "\\'",
    ],
)
def ruling_02_printable_text_of_up_to_29_bytes_is_a_name(
    api: Api, board: Device, name: str
) -> None:
    """A name is 1 to 29 bytes of printable UTF-8; `{device}` takes it percent-encoded."""
    answer = api.rename(board.mac, name)
    assert (answer.status, answer.json()["name"]) == (200, name)
    assert api.device(name)["mac"] == board.mac


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 30,
        "é" * 15,
        "a;b",
        " a",
        "a ",
        "\u00a0a",
        "a\tb",
        "a\n",
        "a\u0000",
        "a\u007f",
        "a\u0085",
        "61:EC:ED:3B:25:B1",
        "61:ec:ed:3b:25:b1",
    ],
)
def ruling_02_what_is_not_a_name_is_refused(api: Api, board: Device, name: str) -> None:
    """Without `;`, control characters, outer blanks; never of the shape of a MAC address."""
    assert api.rename(board.mac, name).status == 422
    assert api.device(board.mac)["name"] == board.name


def ruling_02_a_name_is_taken_without_regard_to_case(hub: Hub, api: Api, board: Device) -> None:
    """409 where the name is taken; one's own name in other letters is not."""
    other = Device(hub).boot()
    assert api.rename(other.mac, "Capteur01").status == 409
    assert api.rename(board.mac, "Capteur01").json()["name"] == "Capteur01"
    assert api.device("cAPTEUR01")["mac"] == board.mac


# -- ruling 3: session ids --------------------------------------------------------------------


def ruling_03_session_ids_have_17_characters_and_strictly_grow(hub: Hub) -> None:
    """Ten digits, a dot, six digits; strictly growing over the life of the store."""
    board = Device(hub)
    board.connect()
    board.listen()
    sessions = [board.ask().session for _ in range(30)]
    board.client.close()
    for restart in (hub.restart, hub.kill_and_start):
        restart()
        board.connect()
        board.listen()
        sessions += [board.ask().session for _ in range(5)]
        board.client.cut()
    assert all(SESSION.match(session) for session in sessions), sessions
    assert sessions == sorted(set(sessions))
    micros = [int(s[:10]) * 1_000_000 + int(s[11:]) for s in sessions[:30]]
    steps = {b - a for a, b in pairwise(micros)}
    assert len(steps) > 15, f"the ids can be guessed from one another: {sessions}"


def ruling_03_session_ids_grow_through_a_clock_that_steps_back(hub: Hub) -> None:
    """A Pi has no battery clock."""
    board = Device(hub).boot()
    before, joined = board.current.session, board.api.device(board.mac)["joined_at"]
    hub.restart(wrong_clock("-1d"))
    board.client.cut()
    assert board.boot().current.session > before
    assert SESSION.match(board.current.session)
    assert board.api.device(board.mac)["joined_at"] >= joined, "times go on all the same"


# -- ruling 4: join with a MAC ----------------------------------------------------------------


def ruling_04_a_mac_is_stored_in_upper_case_and_answered_as_it_was_sent(hub: Hub, api: Api) -> None:
    """`MAC;name;session_id`, spelled with the MAC as the device sent it."""
    upper = fresh_mac()
    assert upper != upper.lower()
    board = Device(hub, upper.lower()).boot()  # `told` compares the spelling
    assert api.device(upper)["mac"] == upper
    assert api.device(upper.lower())["mac"] == upper
    board.mac = upper
    board.connect()
    board.listen()
    assert board.ask().name == "capteur01", "it is the same device"
    assert len(api.devices()) == 1


def ruling_04_a_mac_opens_a_session_and_the_older_one_is_dead(hub: Hub, board: Device) -> None:
    """The device counts as offline; every message of an older session is discarded."""
    api, old = board.api, board.current
    board.report("photoresistor", 10, qos=1)
    board.ask()
    assert board.current != old
    api.wait_state(board.mac, "joining")
    for late in (
        lambda: board.report("photoresistor", 11, old.pair, qos=1),
        lambda: board.report("led", 1, old.pair, qos=1),
        lambda: board.leave(old.pair),
        lambda: board.start(old.pair),
    ):
        late()
    board.report("photoresistor", 12, qos=1)  # what came before it is settled
    assert api.readings(board.mac, "photoresistor") == [10, 12]
    assert api.device(board.mac)["channels"]["led"] is None
    assert board.state == "joining"
    board.reconnect()
    board.start()
    board.wait_online()
    assert hub.running


def ruling_04_any_session_issued_since_the_last_start_may_be_started(board: Device) -> None:
    """A board repeats its MAC while it waits; starting one session ends the others."""
    before = board.current
    first, second, third = board.ask(), board.ask(), board.ask()
    assert len({first, second, third}) == 3
    board.start(before.pair)
    board.report("photoresistor", 1, before.pair, qos=1)
    assert board.state == "joining", "a session of before the repeats is dead"
    board.current = second
    board.reconnect()
    board.start()
    board.wait_online()
    for dead in (first, third):
        board.report("photoresistor", 2, dead.pair, qos=1)
        board.leave(dead.pair)
    board.report("photoresistor", 3, second.pair, qos=1)
    assert board.api.readings(board.mac, "photoresistor") == [3]
    assert board.state == "online"


def ruling_04_a_repeat_is_answered_each_time(hub: Hub) -> None:
    """Each repeat gets a session of its own."""
    board = Device(hub)
    board.connect()
    board.listen()
    for _ in range(50):
        board.client.publish(JOIN, board.mac, 0)
    told = board.wait_told(50)
    assert len({a.session for a in told}) == 50
    assert {a.name for a in told} == {"capteur01"}


# -- ruling 5: join with a pair ---------------------------------------------------------------


def ruling_05_only_the_current_pair_puts_a_device_online(hub: Hub) -> None:
    """Any other pair is discarded."""
    board, other = Device(hub), Device(hub).boot()
    board.connect()
    board.listen()
    board.ask()
    wrong = [
        f"{board.name};1743946777.603371",
        f"{other.name};{board.current.session}",
        f"nobody;{board.current.session}",
        f"{board.name};{board.current.session} ",
        f"{board.name};{board.current.session[:-1]}",
        f"{board.name};",
        board.name,
    ]
    for pair in wrong:
        board.start(pair)
    board.report("photoresistor", 1, f"{board.name};1743946777.603371", qos=1)
    assert board.state == "joining"
    board.start()
    shown = board.wait_online()
    assert shown["joined_at"] is not None
    assert shown["left_at"] is None


# -- ruling 6: leave, and the end of the connection -------------------------------------------


def ruling_06_a_leave_with_the_current_pair_puts_a_device_offline(hub: Hub, board: Device) -> None:
    """With any other pair it is discarded."""
    other = Device(hub).boot()
    board.leave(f"{board.name};1743946777.603371")
    board.leave(f"nobody;{board.current.session}")
    board.leave(f"{other.name};{board.current.session}")
    board.report("led", 1, qos=1)
    assert (board.state, other.state) == ("online", "online")
    board.leave()
    shown = board.wait_offline()
    assert shown["left_at"] is not None
    assert other.state == "online"


@pytest.mark.parametrize("with_will", [True, False], ids=["with a will", "without a will"])
@pytest.mark.parametrize("end", ["close", "drop", "cut"])
def ruling_06_presence_follows_the_connection(hub: Hub, with_will: bool, end: str) -> None:
    """When a session's connection ends in any way, its device is offline, will or no will."""
    board = Device(hub)
    board.connect()
    board.listen()
    board.ask()
    board.client.close()
    board.connect(with_will)
    board.listen()
    board.start()
    board.wait_online()
    getattr(board.client, end)()
    board.wait_offline()


# -- ruling 7: readings -----------------------------------------------------------------------


def ruling_07_readings_with_the_current_pair_are_recorded_whatever_the_state(hub: Hub) -> None:
    """With any other pair they are discarded and nothing changes."""
    board = Device(hub)
    board.connect()
    board.listen()
    board.ask()
    board.report("photoresistor", 40, qos=1)
    assert board.api.readings(board.mac, "photoresistor") == [40], "recorded while joining"
    board.reconnect()
    board.start()
    board.wait_online()
    board.report("led", 1)
    board.report("button", 1)
    board.report("photoresistor", 0)
    board.report("photoresistor", 100)
    board.api.wait_readings(board.mac, "led", [True])
    board.api.wait_readings(board.mac, "button", [True])
    board.api.wait_readings(board.mac, "photoresistor", [40, 0, 100])
    seen = board.api.device(board.mac)
    for channel in STATUS:
        board.report(channel, 0, f"{board.name};1743946777.603371", qos=1)
        board.report(channel, 0, f"nobody;{board.current.session}", qos=1)
    after = board.api.device(board.mac)
    assert after["channels"] == seen["channels"]
    assert board.api.readings(board.mac, "photoresistor") == [40, 0, 100]


def ruling_07_a_reading_after_a_leave_means_that_the_device_is_alive(board: Device) -> None:
    """It is put online again."""
    board.leave()
    board.wait_offline()
    board.report("photoresistor", 50)
    assert board.wait_online()["left_at"] is None
    board.api.wait_readings(board.mac, "photoresistor", [50])


# -- ruling 8: rename -------------------------------------------------------------------------


def ruling_08_a_new_name_holds_at_once_for_people_and_later_on_the_wire(
    hub: Hub, board: Device
) -> None:
    """Until `state/join` with the new pair arrives, the hub accepts both pairs."""
    api, old = board.api, board.current
    events = Events(hub)
    events.snapshot()
    answer = api.rename("capteur01", "Salon d'été")
    assert answer.json()["name"] == "Salon d'été"
    assert api.device("Salon d'été")["mac"] == board.mac
    assert api.get("/devices/capteur01").status == 404
    events.wait("device", lambda d: d["name"] == "Salon d'été")

    told = board.wait_told(1)
    assert told[-1].name == "Salon d'été"
    new = told[-1]
    assert new.session > old.session
    assert board.state == "online", "a rename takes nobody offline"

    board.report("photoresistor", 1, old.pair, qos=1)
    board.report("photoresistor", 2, new.pair, qos=1)
    assert api.readings(board.mac, "photoresistor") == [1, 2]
    events.wait("reading", lambda r: r["name"] == "Salon d'été" and r["value"] == 1)
    # The board itself still answers under its old pair.
    assert api.led("Salon d'été", True).json()["state"] == "confirmed"
    assert board.commands() == [f"{old.pair};1"]

    board.current = new
    board.reconnect()
    board.start()
    board.wait_online()
    board.report("photoresistor", 3, old.pair, qos=1)
    board.report("photoresistor", 4, new.pair, qos=1)
    assert api.readings(board.mac, "photoresistor") == [1, 2, 4], "the old pair has ended"
    assert api.led("Salon d'été", False).json()["state"] == "confirmed"
    assert board.commands() == [f"{new.pair};0"]


def ruling_08_firmware_that_does_not_understand_goes_on_under_the_old_pair(
    hub: Hub, board: Device
) -> None:
    """On the wire the device goes on under the old pair until its session is renewed."""
    board.api.rename(board.mac, "LeBron")
    board.wait_told(1)
    board.report("button", 1)
    board.api.wait_value("LeBron", "button", True)
    assert board.api.led("LeBron", True).status == 200
    board.leave()
    board.wait_offline()
    board.report("button", 0)
    board.wait_online()
    board.client.cut()
    board.wait_offline()
    board.boot()
    assert board.name == "LeBron", "a new session has the new name"
    assert hub.running


@pytest.mark.parametrize("power_cut", [False, True], ids=["running on", "SIGKILL"])
def ruling_08_both_pairs_hold_until_the_new_one_is_started(hub: Hub, power_cut: bool) -> None:
    """Through a restart of the hub, too; and the device may start the new one at any time."""
    board = Device(hub).boot()
    old = board.current
    board.api.rename(board.mac, "once")
    board.api.rename(board.mac, "twice")
    newest = board.wait_told(2)[-1]
    assert newest.name == "twice"
    if power_cut:
        board.client.drop()
        hub.kill_and_start()
        board.connect(with_will=True)
        board.listen()
    board.report("photoresistor", 1, old.pair, qos=1)
    board.wait_online()
    board.report("photoresistor", 2, newest.pair, qos=1)
    board.current = newest
    board.reconnect()
    board.start()
    board.wait_online()
    board.report("photoresistor", 3, old.pair, qos=1)
    board.report("photoresistor", 4, newest.pair, qos=1)
    assert board.api.readings(board.mac, "photoresistor") == [1, 2, 4]


def ruling_08_a_device_that_is_away_comes_back_under_the_old_pair(hub: Hub, board: Device) -> None:
    """The customer's firmware does not join again: a rename must not lock it out."""
    board.client.cut()
    board.wait_offline()
    board.api.rename(board.mac, "LeBron")
    board.connect(with_will=True)
    board.listen()
    board.report("photoresistor", 5, qos=1)
    board.wait_online()
    assert board.api.readings("LeBron", "photoresistor") == [5]
    assert board.api.led("LeBron", True).status == 200
    assert hub.running


def ruling_08_a_device_that_is_joining_may_start_what_it_was_given(hub: Hub) -> None:
    """Renamed between the assignment and the start."""
    board = Device(hub)
    board.connect()
    board.listen()
    given = board.ask()
    board.api.rename(board.mac, "LeBron")
    board.reconnect()
    board.start(given.pair)
    board.wait_online()
    board.report("photoresistor", 6, given.pair, qos=1)
    assert board.api.readings("LeBron", "photoresistor") == [6]


def ruling_08_two_devices_may_swap_their_names(hub: Hub, api: Api) -> None:
    """An old pair is told from a new one by its session, not by its name alone."""
    one, two = Device(hub).boot(), Device(hub).boot()
    for mac, name in ((one.mac, "spare"), (two.mac, "capteur01"), (one.mac, "capteur02")):
        assert api.rename(mac, name).status == 200
    for value, board in ((1, one), (2, two)):
        board.report("photoresistor", value, qos=1)
        assert api.readings(board.mac, "photoresistor") == [value]
        assert api.led(board.mac, True).status == 200
        assert board.commands() == [f"{board.current.pair};1"]
    for board, name in ((one, "capteur02"), (two, "capteur01")):
        board.current = board.told()[-1]
        assert board.name == name
        board.reconnect()
        board.start()
        board.wait_online()
        assert api.led(name, False).status == 200
        assert api.device(name)["mac"] == board.mac


# -- ruling 9: restart and malformed payloads -------------------------------------------------


@pytest.mark.parametrize("power_cut", [False, True], ids=["clean stop", "SIGKILL"])
def ruling_09_after_a_restart_devices_are_offline_until_they_speak(
    hub: Hub, api: Api, power_cut: bool
) -> None:
    """Until it joins again or sends a reading of its current session."""
    joins, speaks, silent = (Device(hub).boot() for _ in range(3))
    for board in (joins, speaks, silent):
        board.client.cut()
    if power_cut:
        hub.kill_and_start()
    else:
        hub.restart()
    assert [d["state"] for d in api.devices()] == ["offline"] * 3
    for board in (joins, speaks):
        board.connect(with_will=True)
        board.listen()
    joins.start()
    joins.wait_online()
    speaks.report("photoresistor", 9, qos=1)
    speaks.wait_online()
    assert api.led(speaks.mac, True).status == 200, "and it can be reached"
    assert silent.state == "offline"


MALFORMED = [
    b"",
    b";",
    b";;",
    b";;;",
    b"capteur01",
    b"capteur01;",
    b"capteur01;1743946777.603371;",
    b"capteur01;1743946777.603371;2",
    b"capteur01;1743946777.603371;101",
    b"capteur01;1743946777.603371;-1",
    b"capteur01;1743946777.603371; 1",
    b"capteur01;1743946777.603371;1;1",
    b"capteur01;1743946777,603371;1",
    b"61:EC:ED:3B:25",
    b"61:EC:ED:3B:25:G1",
    b"61-EC-ED-3B-25-B1",
    b"\xff\xfe",
    b"\x00" * 48,
    b"x" * 30 + b";1743946777.603371;1",
    "é".encode() * 30000,
]


def ruling_09_nothing_that_a_device_sends_can_stop_the_hub(hub: Hub, board: Device) -> None:
    """Malformed payloads are counted by reason and dropped."""
    before = board.api.metrics()
    clumsy = Client(hub, version=V5)
    for topic in ("state/join", "state/leave", *STATUS.values()):
        for payload in MALFORMED:
            clumsy.publish(topic, payload, 1)
    assert clumsy.alive
    shown = board.api.devices()
    assert [(d["mac"], d["state"]) for d in shown] == [(board.mac, "online")]
    assert board.api.readings(board.mac, "photoresistor") == []
    after = board.api.metrics()
    counted = {name for name in after if after[name] >= before.get(name, 0) + 5 and "{" in name}
    assert any("reason" in name for name in counted), f"counted by reason: {sorted(counted)}"


def ruling_09_a_malformed_payload_is_answered_with_its_reason_code(hub: Hub) -> None:
    """Refusals are answered: PUBACK carries 0x99, payload format invalid."""
    clumsy = Client(hub, version=V5)
    assert clumsy.publish("state/join", "no MAC address", 1) == 0x99
    assert clumsy.publish("led/status", "no reading", 1) == 0x99


def ruling_05_identities_survive_strange_client_ids(hub: Hub) -> None:
    """A client id means nothing to the session protocol."""
    for number, client_id in enumerate(("a/b", "#", "+", "$SYS", "é", "x" * 200), 1):
        board = Device(hub, client_id=client_id).boot()
        assert board.name == f"capteur{number:02}"
        assert board.api.get(f"/devices/{quote(board.mac)}").status == 200


def ruling_05_an_assignment_is_kept_through_a_lost_connection(hub: Hub) -> None:
    """The pair, not the connection that asked for it, is what starts a session."""
    board = Device(hub)
    board.connect()
    board.listen()
    asked: Assignment = board.ask()
    board.client.cut()
    eventually(lambda: board.state in ("joining", "offline"), "not online")
    board.connect(with_will=True)
    board.start(asked.pair)
    board.wait_online()
