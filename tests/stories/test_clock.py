"""A machine without a battery clock: it starts years back, and learns the time later."""

import time
from pathlib import Path

from api import Api
from client import V5
from conftest import StartHub
from device import Device
from hub import Hub, settable_clock, wrong_clock
from waiting import eventually

QUOTA_EXCEEDED = 0x97


def is_uncertain(api: Api) -> bool:
    """Whether the hub says that its time is a guess."""
    return api.metrics()["capteur_time_uncertain"] == 1


def session(board: Device) -> str:
    """The session that the board was given last."""
    return board.current.session


def test_a_start_in_the_past_keeps_readings_in_order_until_the_clock_is_right(
    hub: Hub, api: Api, board: Device, tmp_path: Path
) -> None:
    """The whole way: right, years back after a power cut, and set right while the hub runs."""
    sessions, sent = [session(board)], []

    def speak(*values: int) -> None:
        for value in values:
            board.report("photoresistor", value, qos=1)
            sent.append(value)
        assert api.readings(board.mac, "photoresistor") == sent

    speak(1, 2)
    assert not is_uncertain(api)
    right = api.points(board.mac, "photoresistor")[-1][0]

    clock = tmp_path / "clock"
    clock.write_text("-730d")
    hub.kill()
    hub.start(settable_clock(clock))
    assert is_uncertain(api)
    assert "the system's clock can't be believed" in hub.log()
    board.client.drop()
    board.boot()
    sessions.append(session(board))
    speak(3, 4)
    guessed = api.points(board.mac, "photoresistor")[-1][0]
    assert right <= guessed < right + 3_600_000, "it goes on from what the store knows"

    clock.write_text("+0")
    eventually(lambda: not is_uncertain(api), "the right time")
    assert "the time is certain now" in hub.log()
    board.client.drop()
    board.boot()
    sessions.append(session(board))
    speak(5)

    # And once more, in one go.
    board.client.drop()
    hub.restart(wrong_clock("2020-02-29 12:00:00"))
    assert is_uncertain(api)
    board.boot()
    sessions.append(session(board))
    speak(6)
    board.client.drop()
    hub.restart()
    assert not is_uncertain(api)
    board.boot()
    speak(7)
    times = [at for at, _ in api.points(board.mac, "photoresistor")]
    assert times == sorted(times)
    sessions.append(session(board))
    assert sessions == sorted(set(sessions)), "session ids grow, whatever the clock says"
    board.client.drop()


def test_a_new_hub_with_a_clock_of_1970_works_and_says_so(start_hub) -> None:
    """Nothing is known yet: times begin with the program's first year."""
    hub = start_hub(env=wrong_clock("1970-01-02 00:00:00"))
    board = Device(hub).boot()
    assert is_uncertain(board.api)
    board.report("photoresistor", 9, qos=1)
    assert board.api.readings(board.mac, "photoresistor") == [9]
    assert board.api.device(board.mac)["first_seen"].startswith("2025-01-01T00:")
    board.client.drop()


def test_a_backlog_waits_until_a_hub_without_a_clock_knows_the_time(
    start_hub: StartHub, tmp_path: Path
) -> None:
    """Dated by a guess, it would lie in the time before the hub was off."""
    hub = start_hub()
    board = Device(hub, version=V5).boot()
    board.report("photoresistor", 40, qos=1)
    board.client.drop()
    clock = tmp_path / "clock"
    clock.write_text("-730d")
    hub.kill()
    hub.start(settable_clock(clock))
    board = Device(hub, board.mac, version=V5).boot()
    assert is_uncertain(board.api)
    assert board.hand_in([(3_600_000, 11), (60_000, 12)]) == QUOTA_EXCEEDED
    assert board.api.readings(board.mac, "photoresistor") == [40]
    clock.write_text("+0")
    eventually(lambda: not is_uncertain(board.api), "the right time")
    before = time.time() * 1000
    assert board.hand_in([(3_600_000, 11), (60_000, 12)]) == 0
    first, second, _ = board.api.points(board.mac, "photoresistor")
    assert (first[1], second[1]) == (11, 12)
    assert abs(first[0] - (before - 3_600_000)) < 60_000
    board.client.drop()
