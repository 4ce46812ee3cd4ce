"""A full disk: nothing that was acknowledged is lost, and the hub comes back by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api import Api
from client import V3, V5
from conftest import StartHub
from device import Device
from disk import MB, Disk, small_disk
from hub import Hub
from test_durability import Flood
from waiting import eventually

QUOTA_EXCEEDED = 0x97
PACKET_ID_NOT_FOUND = 0x92
BALLAST = 16 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 160 MB."""
    with small_disk(tmp_path / "disk", 160) as disk:
        yield disk


def start(start_hub: StartHub, disk: Disk, min_free_mb: int) -> Hub:
    """A hub on the disk."""
    store = str(disk.path / "store")
    hub = start_hub({"store.path": store, "store.min_free_mb": min_free_mb})
    eventually((disk.path / "store/BALLAST").exists, "ballast")
    return hub


def is_recording(api: Api) -> bool:
    """Whether the hub says that it records readings."""
    return api.metrics()["capteur_store_recording"] == 1


def test_a_nearly_full_disk_stops_recording_alone_and_recording_comes_back(
    start_hub: StartHub, disk: Disk
) -> None:
    """The hub goes on; what it does not record it does not acknowledge, at either level."""
    hub = start(start_hub, disk, min_free_mb=40)
    api = Api(hub)
    new, old = [Device(hub, version=version).boot() for version in (V5, V3)]
    assert new.report("led", 1, qos=1) == 0
    old.report("led", 1, qos=1)
    disk.fill(leave=30 * MB)
    eventually(lambda: not is_recording(api), "stop of the recording")
    assert "the disk is nearly full" in hub.log()

    assert new.report("photoresistor", 11, qos=1) == QUOTA_EXCEEDED
    api.wait_value(new.mac, "photoresistor", 11)
    # paho goes on with PUBREL where PUBREC refuses, and is told that there is nothing to release.
    assert new.report("photoresistor", 12, qos=2) == PACKET_ID_NOT_FOUND
    api.wait_value(new.mac, "photoresistor", 12)
    new.report("photoresistor", 20, qos=0)
    api.wait_value(new.mac, "photoresistor", 20)
    assert api.readings(new.mac, "photoresistor") == []
    assert api.metrics()["capteur_readings_not_recorded_total"] == 3
    assert api.led(new.mac, False).status == 200, "commands go on"
    assert api.rename(new.mac, "LeBron").status == 200, "what is small is still stored"
    newcomer = Device(hub).boot()
    assert newcomer.name == "capteur03"

    # 3.1.1 has no word for it: the message is not acknowledged, and asked for again.
    old.client.send("photoresistor/status", f"{old.current.pair};33", 1)
    api.wait_value(old.mac, "photoresistor", 33)
    old.client.wait_ended()
    assert api.metrics()['capteur_mqtt_connections_cut_total{reason="no_room"}'] == 1
    assert api.readings(old.mac, "photoresistor") == []

    disk.clear()
    eventually(lambda: is_recording(api), "recording")
    old.connect(with_will=True)
    assert old.report("photoresistor", 34, qos=1) == 0
    assert new.report("photoresistor", 35, qos=1) == 0
    assert api.readings(old.mac, "photoresistor") == [34]
    assert api.readings("LeBron", "photoresistor") == [35]
    hub.kill_and_start()
    assert api.readings(old.mac, "photoresistor") == [34]
    assert api.readings(old.mac, "led") == [True]
    for board in (new, old, newcomer):
        board.client.drop()


def test_a_disk_that_is_full_to_the_last_byte_costs_nothing_that_was_acknowledged(
    start_hub: StartHub, disk: Disk
) -> None:
    """The store fails, its ballast makes room to open it again; after that the hub waits."""
    hub = start(start_hub, disk, min_free_mb=0)
    api, board = Api(hub), Device(hub, obedient=False).boot()
    flood = Flood(hub, board)
    flood.wait_acknowledged(100)
    disk.fill()
    assert hub.wait_ended() == 1, "the service manager is to start it anew"
    flood.end()
    assert not (disk.path / "store/BALLAST").exists()
    assert disk.free() >= BALLAST // 2

    hub.start()
    stored = api.readings(board.mac, "photoresistor", limit=100_000)
    assert stored == flood.sent[: len(stored)], "a reading is missing, doubled or out of order"
    assert len(stored) >= flood.acknowledged, "an acknowledged reading was lost"
    disk.fill()
    hub.kill()

    hub.start()
    eventually(lambda: "waiting for room" in hub.log(), "word that it waits")
    assert hub.running
    disk.clear()
    eventually(lambda: api.get("/health").status == 200, "a healthy hub", within=60)
    assert api.readings(board.mac, "photoresistor", limit=100_000) == stored
    board.client.drop()
    board.connect(with_will=True)
    board.report("photoresistor", 77, qos=1)
    assert api.readings(board.mac, "photoresistor", limit=100_000) == [*stored, 77]
    eventually((disk.path / "store/BALLAST").exists, "a new ballast", within=60)
    board.client.drop()


def test_a_hub_that_waits_for_room_can_be_stopped(start_hub: StartHub, disk: Disk) -> None:
    """SIGTERM is obeyed while nothing else can be done."""
    hub = start(start_hub, disk, min_free_mb=0)
    hub.stop()
    (disk.path / "store/BALLAST").unlink()
    disk.fill()
    hub.start()
    eventually(lambda: "waiting for room" in hub.log(), "word that it waits")
    assert hub.stop() == 0
