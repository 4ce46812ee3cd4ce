"""LED commands: given over HTTP, published to the board, done when the board says so."""

import threading
from urllib.parse import quote

import pytest

from api import RFC3339_MILLIS, Answer, Api, Json
from device import COMMAND, Device
from events import Events
from hub import Hub
from waiting import eventually


@pytest.fixture
def stubborn(hub: Hub) -> Device:
    """A board that hears commands and does nothing."""
    return Device(hub, obedient=False).boot()


def _in_background(call) -> tuple[threading.Thread, list[Answer]]:
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()
    return thread, answers


def _must_be_a_command(command: Json, device: str, value: bool, state: str) -> None:
    assert command["device"] == device
    assert command["channel"] == "led"
    assert command["value"] is value
    assert command["state"] == state
    assert isinstance(command["id"], str)
    assert command["id"]
    assert RFC3339_MILLIS.match(command["issued_at"])
    assert isinstance(command["issued_by"], str)
    assert command["issued_by"]
    if state == "confirmed":
        assert RFC3339_MILLIS.match(command["confirmed_at"])
        assert command["confirmed_at"] >= command["issued_at"]
    else:
        assert command["confirmed_at"] is None


def test_a_command_is_answered_once_the_board_confirms(hub: Hub, board: Device) -> None:
    """200 with the Command, and the channel shows the new value."""
    for key, on in ((board.mac, True), (board.name, False), ("CAPTEUR01", True)):
        answer = board.api.led(key, on)
        assert answer.status == 200
        _must_be_a_command(answer.json(), board.mac, on, "confirmed")
        assert board.api.device(board.mac)["channels"]["led"]["value"] is on
        where = f"/commands/{quote(answer.json()['id'], safe='')}"
        assert board.api.get(where).json() == answer.json()
    assert [c.rsplit(";", 1)[1] for c in board.commands()] == ["1", "0", "1"]
    assert hub.running


def test_a_command_that_is_not_confirmed_times_out(start_hub) -> None:
    """504 after `commands.confirm_timeout_ms`; a later status changes the LED, not the command."""
    hub = start_hub({"commands.confirm_timeout_ms": 300})
    board = Device(hub, obedient=False).boot()
    events = Events(hub)
    events.snapshot()
    assert board.api.led(board.mac, True).status == 504
    ended = events.wait("command", lambda c: c["state"] == "timed_out").data
    _must_be_a_command(ended, board.mac, True, "timed_out")
    board.report("led", 1, qos=1)
    assert board.api.device(board.mac)["channels"]["led"]["value"] is True
    assert board.api.get(f"/commands/{ended['id']}").json() == ended


def test_a_board_that_is_not_online_cannot_be_commanded(hub: Hub, board: Device) -> None:
    """409 offline; also while it is joining."""
    board.ask()
    board.api.wait_state(board.mac, "joining")
    assert board.api.led(board.mac, True).status == 409
    assert board.api.led(board.mac, True, wait=False).status == 409
    gone = Device(hub).boot()
    gone.client.close()
    gone.wait_offline()
    assert gone.api.led(gone.mac, True).status == 409
    assert board.commands() == gone.commands() == []


def test_a_newer_command_supersedes_the_older(hub: Hub, stubborn: Device) -> None:
    """The caller of the older one is told at once."""
    api = stubborn.api
    thread, answers = _in_background(lambda: api.led(stubborn.mac, True))
    stubborn.client.wait_heard(1, COMMAND)
    newer = api.led(stubborn.mac, False, wait=False).json()
    thread.join(20)
    (older,) = answers
    assert older.status == 409 or older.json()["state"] == "superseded", older
    stubborn.client.wait_heard(2, COMMAND)
    stubborn.report("led", 1, qos=1)
    assert api.get(f"/commands/{newer['id']}").json()["state"] == "sent"
    stubborn.report("led", 0, qos=1)
    assert api.get(f"/commands/{newer['id']}").json()["state"] == "confirmed"
    log = api.get(f"/devices/{stubborn.name}/log").text
    assert "superseded" in log
    assert hub.running


def test_respond_async_answers_at_once_with_a_place_to_look(hub: Hub, stubborn: Device) -> None:
    """`Prefer: respond-async`: 202, `Location: /api/v1/commands/{id}`, then GET."""
    answer = stubborn.api.led(stubborn.mac, True, wait=False)
    assert answer.status == 202
    command = answer.json()
    _must_be_a_command(command, stubborn.mac, True, "sent")
    assert answer.headers["location"] == f"/api/v1/commands/{quote(command['id'], safe='')}"
    where = answer.headers["location"].removeprefix("/api/v1")
    assert stubborn.api.get(where).json()["state"] == "sent"
    stubborn.client.wait_heard(1, COMMAND)
    stubborn.report("led", 1, qos=1)
    done = eventually(
        lambda: (c := stubborn.api.get(where).json())["state"] == "confirmed" and c, "confirmation"
    )
    _must_be_a_command(done, stubborn.mac, True, "confirmed")
    assert hub.running


def test_readers_of_the_stream_follow_a_command(hub: Hub, board: Device) -> None:
    """`command` events: sent, then its end; everybody sees the same."""
    readers = [Events(hub), Events(hub)]
    for events in readers:
        events.snapshot()
    done = board.api.led(board.mac, True).json()
    for events in readers:
        events.wait("command", lambda c: c["state"] == "confirmed")
        told = [e.data for e in events.named("command")]
        assert [c["state"] for c in told] == ["sent", "confirmed"]
        assert told[-1] == done
        events.wait("reading", lambda r: r["channel"] == "led" and r["value"] is True)


def test_a_repeated_value_is_a_command_of_its_own(board: Device) -> None:
    """The board is asked again although the hub knows the value."""
    first = board.api.led(board.mac, True).json()
    second = board.api.led(board.mac, True).json()
    assert first["id"] != second["id"]
    assert len(board.commands()) == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"on":1}', b'{"on":"true"}', b"null"])
def test_a_body_that_is_no_command_is_refused(api: Api, board: Device, body: bytes) -> None:
    """400 or 422, and the board hears nothing."""
    answer = api.call("PUT", f"/devices/{board.name}/led", body)
    assert answer.status in (400, 422)
    assert board.commands() == []


def test_an_unknown_command_or_device_is_404(api: Api) -> None:
    """Whatever the id looks like."""
    for command in ("1-999999", "nonsense", "-", "%00", "99999999999999999999-1"):
        assert api.get(f"/commands/{command}").status == 404, command
    assert api.led("nobody", True).status == 404


def test_ids_are_not_reused_after_a_restart(hub: Hub, board: Device) -> None:
    """A command's number is unique over the life of the store."""
    before = board.api.led(board.mac, True).json()["id"]
    board.client.drop()
    hub.kill_and_start()
    board.boot()
    assert board.api.led(board.mac, True).json()["id"] != before


def test_many_boards_are_commanded_at_once(hub: Hub) -> None:
    """Each answer belongs to its own command."""
    boards = [Device(hub).boot() for _ in range(10)]
    calls = [_in_background(lambda b=board: b.api.led(b.mac, True)) for board in boards]
    for board, (thread, answers) in zip(boards, calls, strict=True):
        thread.join(30)
        assert [a.status for a in answers] == [200]
        assert answers[0].json()["device"] == board.mac
        assert board.commands() == [f"{board.current.pair};1"]
