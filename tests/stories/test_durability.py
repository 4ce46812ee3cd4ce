"""An acknowledgement means stored: nothing that the hub has said yes to is lost."""

import http.client
import json
import random
import resource
import threading
from contextlib import suppress
from pathlib import Path

import pytest

import wire
from api import Api
from device import Device
from hub import Hub, wrong_clock
from waiting import eventually


class Flood:
    """Publishes readings at QoS 1 as fast as they are taken, on a socket of its own."""

    WINDOW = 50

    def __init__(self, hub: Hub, board: Device) -> None:
        self.board = board
        self.sent: list[int] = []
        self.acknowledged = 0
        self._changed = threading.Condition()
        self._connection, _ = wire.connected(hub.mqtt, board.client_id)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        try:
            while True:
                while len(self.sent) - self.acknowledged < self.WINDOW:
                    value = number * 37 % 101
                    payload = f"{self.board.current.pair};{value}"
                    number += 1
                    self.sent.append(value)
                    packet_id = number % 65535 + 1
                    self._connection.send(
                        wire.publish("photoresistor/status", payload, 1, packet_id)
                    )
                got = self._connection.receive()
                if got is None:
                    return
                assert got.kind == wire.PUBACK
                with self._changed:
                    self.acknowledged += 1
                    self._changed.notify_all()
        except OSError:
            return

    def wait_acknowledged(self, count: int) -> None:
        """Returns as soon as so many readings are acknowledged."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.acknowledged >= count, 60)

    def end(self) -> None:
        """Waits for the end that the hub's death brings."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._connection.close()


def test_every_acknowledged_reading_survives_sigkill_exactly_once(hub: Hub, api: Api) -> None:
    """The hub is killed the moment the last PUBACK arrives, in several rounds."""
    boards = [Device(hub, obedient=False).boot() for _ in range(3)]
    kept: dict[str, list[int]] = {board.mac: [] for board in boards}
    for round_number, count in enumerate((1, 60, 200, 333), 1):
        floods = [Flood(hub, board) for board in boards]
        floods[round_number % 3].wait_acknowledged(count)
        hub.kill()
        for flood in floods:
            flood.end()
        hub.start()
        for flood in floods:
            mac = flood.board.mac
            stored = api.readings(mac, "photoresistor")
            before = kept[mac]
            assert stored[: len(before)] == before, "what was stored has changed"
            new = stored[len(before) :]
            assert new == flood.sent[: len(new)], "a reading is missing, doubled or out of order"
            assert len(new) >= flood.acknowledged, "an acknowledged reading was lost"
            kept[mac] = stored
    for board in boards:
        board.boot()
    assert [board.name for board in boards] == ["capteur01", "capteur02", "capteur03"]


def test_a_full_disk_ends_the_hub_and_takes_nothing_that_was_acknowledged(
    hub: Hub, api: Api, board: Device
) -> None:
    """Nothing is acknowledged that is not stored; the service manager sees a failure."""
    flood = Flood(hub, board)
    flood.wait_acknowledged(50)
    resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (150 << 10, 150 << 10))
    assert hub.wait_ended() == 1
    flood.end()
    assert "store" in hub.log().splitlines()[-1]
    hub.start()
    stored = api.readings(board.mac, "photoresistor", limit=100_000)
    assert stored == flood.sent[: len(stored)]
    assert len(stored) >= flood.acknowledged
    board.client.drop()
    board.boot()
    assert board.name == "capteur01"


def test_a_reading_at_qos_2_is_stored_before_its_pubrec(hub: Hub, board: Device) -> None:
    """The hub is killed between PUBREC and PUBREL."""
    for number in range(5):
        sender, _ = wire.connected(hub.mqtt, board.client_id)
        sender.send(wire.publish("photoresistor/status", f"{board.current.pair};{number}", 2, 7))
        sender.expect(wire.PUBREC)
        hub.kill_and_start()
        assert board.api.readings(board.mac, "photoresistor") == list(range(number + 1))


@pytest.mark.parametrize("qos", [1, 2])
def test_names_and_sessions_are_on_the_medium_before_they_are_heard(hub: Hub, qos: int) -> None:
    """The hub is killed the moment the assignment arrives; the session can be started after it."""
    board = Device(hub, qos=qos)
    board.connect()
    board.listen()
    given = board.ask()
    hub.kill_and_start()
    board.client.drop()
    assert board.api.device(board.mac)["name"] == given.name
    board.connect(with_will=True)
    board.listen()
    board.start()
    board.wait_online()
    board.report("photoresistor", 3, qos=qos)
    hub.kill_and_start()
    assert board.api.readings(board.mac, "photoresistor") == [3]
    board.client.drop()


def test_a_rename_and_a_removal_survive_sigkill(hub: Hub, board: Device) -> None:
    """What the API has answered is on the medium."""
    gone = Device(hub).boot()
    gone.client.close()
    gone.wait_offline()
    assert gone.api.forget(gone.mac).status == 204
    assert board.api.rename(board.mac, "LeBron").status == 200
    hub.kill_and_start()
    assert [d["name"] for d in board.api.devices()] == ["LeBron"]


def test_no_reading_is_lost_to_a_clock_that_steps_or_stands_still(
    hub: Hub, api: Api, board: Device
) -> None:
    """A Pi has no battery clock: whatever it says, readings are kept in the order they came in."""
    sent: list[int] = []

    def speak() -> None:
        for _ in range(30):
            sent.append(len(sent) % 101)
            board.report("photoresistor", sent[-1], qos=1)

    speak()
    for clock in ("-1d", "2024-02-29 12:00:00", "2024-02-29 12:00:00", "+1d", "+0"):
        board.client.drop()
        hub.restart(wrong_clock(clock))
        board.connect(with_will=True)
        board.listen()
        speak()
        board.wait_online()
    board.client.drop()
    hub.restart()
    stored = api.points(board.mac, "photoresistor")
    assert [value for _, value in stored] == sent
    assert [at for at, _ in stored] == sorted(at for at, _ in stored)


def test_a_clean_stop_flushes_readings_at_qos_0(start_hub) -> None:
    """SIGTERM: what the boards said last is taken in, and the store is flushed."""
    hub = start_hub({"store.flush_ms": 60_000})
    board = Device(hub, qos=0).boot()
    values = list(range(100))
    for value in values:
        board.report("photoresistor", value)
    board.api.wait_value(board.mac, "photoresistor", 99)
    board.client.close()
    hub.restart()
    assert board.api.readings(board.mac, "photoresistor") == values


def test_readings_at_qos_0_are_on_the_medium_after_the_interval(start_hub) -> None:
    """`store.flush_ms` bounds what a power cut takes."""
    hub = start_hub({"store.flush_ms": 100})
    board = Device(hub, qos=0).boot()
    board.report("photoresistor", 42)
    board.api.wait_readings(board.mac, "photoresistor", [42])
    # A reading at QoS 1 is acknowledged after what came before it is committed.
    board.report("photoresistor", 43, qos=1)
    hub.kill_and_start()
    assert board.api.readings(board.mac, "photoresistor") == [42, 43]
    board.client.drop()


def _somewhere(data: bytes, rng: random.Random) -> int:
    """A place in what is in use: the file is longer."""
    return rng.randrange(len(data.rstrip(b"\0")))


def _truncated(file: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: _somewhere(data, rng)])


def _scribbled(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(8):
        at = _somewhere(data, rng)
        data[at : at + 64] = rng.randbytes(len(data[at : at + 64]))
    file.write_bytes(data)


def _zeroed(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    at = _somewhere(data, rng)
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    file.write_bytes(data)


def _lost(file: Path, _rng: random.Random) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [_truncated, _scribbled, _zeroed, _lost])
@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_store_is_a_running_hub_that_says_what_is_lost(
    hub: Hub, damage, seed: int
) -> None:
    """An SD card that fails: the hub comes up, and what is missing is not missing in silence."""
    rng = random.Random(seed)
    boards = [Device(hub).boot() for _ in range(3)]
    values = [value % 101 for value in range(200)]
    sent = {board.mac: values[n::3] for n, board in enumerate(boards)}
    for value in range(200):
        boards[value % 3].report("photoresistor", value % 101, qos=1)
    for board in boards:
        board.client.drop()
    hub.stop()
    store = Path(hub.settings["store.path"])
    files = [f for f in store.rglob("*") if f.is_file() and f.stat().st_size]
    files = sorted(f for f in files if f.name != "BALLAST")
    files.sort(key=lambda file: file.stat().st_size, reverse=True)
    damage(files[seed % len(files)], rng)

    hub.start()
    eventually(lambda: _is_healthy(hub), "an answer")
    aside = list(store.glob("damaged-*"))
    known = {device["mac"] for device in boards[0].api.devices()}
    for board in boards:
        kept = board.api.readings(board.mac, "photoresistor") if board.mac in known else []
        if aside:
            # Nothing twice, nothing else, in order.
            rest = iter(sent[board.mac])
            assert all(value in rest for value in kept)
        else:
            assert kept == sent[board.mac]
    if aside:
        [report] = [json.loads((folder / "RECOVERY.json").read_text()) for folder in aside]
        assert report["reason"]
        assert report["devices"] == len(known)
        assert "the store was damaged" in hub.log()
    for board in boards:
        board.boot()
        board.report("led", 1, qos=1)
    assert len({board.name for board in boards}) == 3
    for board in boards:
        board.client.drop()
    hub.kill_and_start()
    for board in boards:
        assert board.api.readings(board.mac, "led")[-1] is True


def _is_healthy(hub: Hub) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return Api(hub).get("/health").status == 200
    return False
