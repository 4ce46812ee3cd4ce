"""The SSE stream: a snapshot, then every change, without a gap and without a double."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import wire
from api import RFC3339_MILLIS, Api
from device import Device, fresh_mac
from events import Event, Events
from hub import Hub
from waiting import eventually


class Load:
    """A stream of light readings from one board, in the background."""

    def __init__(self, hub: Hub, board: Device, count: int, pace: int = 10) -> None:
        self._pace = pace
        self.values = [n % 101 for n in range(count)]
        self.mac = board.mac
        self._pair = board.current.pair
        self._connection, _ = wire.connected(hub.mqtt, board.client_id, keepalive=0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # An acknowledgement now and then: a steady pace that a busy machine keeps up with.
        for number, value in enumerate(self.values, 1):
            qos = 0 if number % self._pace else 1
            payload = f"{self._pair};{value}"
            self._connection.send(wire.publish("photoresistor/status", payload, qos, 1))
            if qos:
                self._connection.expect(wire.PUBACK)

    @property
    def ended(self) -> bool:
        """Whether all is sent."""
        return not self._thread.is_alive()

    def end(self) -> None:
        """Waits until all is sent and taken."""
        self._thread.join(60)
        assert not self._thread.is_alive()


def _replay(events: list[Event], mac: str) -> Iterator[list[Any]]:
    """The values after each snapshot; the snapshot's own value stands first."""
    run: list[Any] = []
    for event in events:
        if event.name == "snapshot":
            if run:
                yield run
            shown = {d["mac"]: d["channels"]["photoresistor"] for d in event.data["devices"]}
            light = shown.get(mac)
            run = [light["value"] if light else None]
        elif event.name == "reading" and event.data["mac"] == mac:
            run.append(event.data["value"])
    yield run


def _must_be_gapless(run: list[Any], load: Load) -> None:
    """What follows a snapshot goes on exactly where the snapshot stands."""
    start, rest = run[0], run[1:]
    # The numbers go round at 101: the place in the cycle tells a gap from a double.
    expected = 0 if start is None else (start + 1) % 101
    for value in rest:
        assert value == expected, f"after {expected - 1} came {value}"
        expected = (expected + 1) % 101
    assert (start if not rest else rest[-1]) == load.values[-1], "the end is missing"


def test_a_fresh_reader_gets_a_snapshot_first(hub: Hub, board: Device) -> None:
    """Named events, JSON data, `id: <boot>-<sequence>`, `retry: 2000`."""
    board.report("led", 1, qos=1)
    events = Events(hub)
    assert events.snapshot() == board.api.devices()
    assert events.seen[0].name == "snapshot"
    assert events.retry == 2000
    board.report("button", 1)
    reading = events.wait("reading")
    assert set(reading.data) == {"mac", "name", "channel", "value", "at"}
    assert (reading.data["mac"], reading.data["name"]) == (board.mac, board.name)
    assert (reading.data["channel"], reading.data["value"]) == ("button", True)
    assert RFC3339_MILLIS.match(reading.data["at"])
    assert [e.place for e in events.seen] == sorted({e.place for e in events.seen})


def test_every_change_of_a_device_is_told(hub: Hub) -> None:
    """`device` is a whole Device on any change of state, name or record; then `removed`."""
    events = Events(hub)
    assert events.snapshot() == []
    board = Device(hub)
    board.connect()
    board.listen()
    board.ask()
    events.wait("device", lambda d: d["state"] == "joining")
    board.reconnect()
    board.start()
    online = events.wait("device", lambda d: d["state"] == "online").data
    assert online == board.api.device(board.mac)
    board.api.rename(board.mac, "LeBron")
    events.wait("device", lambda d: d["name"] == "LeBron")
    board.client.cut()
    events.wait("device", lambda d: d["state"] == "offline" and d["left_at"])
    board.api.forget("LeBron")
    assert events.wait("removed").data == {"mac": board.mac}
    states = [e.data["state"] for e in events.named("device")]
    assert states[0] == "joining"
    assert states[-1] == "offline"


def test_snapshot_and_stream_leave_no_gap_and_no_double_under_load(hub: Hub, board: Device) -> None:
    """1,000 readings; readers come at any moment, and some come back with `Last-Event-ID`."""
    load = Load(hub, board, 1000)
    readers = [Events(hub) for _ in range(3)]
    chains: list[list[Event]] = []
    for _ in range(4):
        reader = Events(hub)
        chain: list[Event] = []
        for pause in (5, 30, 60):
            enough = len(reader.seen) + pause
            eventually(lambda r=reader, n=enough: len(r.seen) >= n or load.ended, "events")
            reader.close()
            chain += reader.seen
            reader = Events(hub, last_event_id=chain[-1].id if chain else None)
        readers.append(reader)
        chains.append(chain)
    load.end()
    marker = Device(hub, fresh_mac())
    marker.connect()
    marker.listen()
    marker.ask()
    chains = [[], [], [], *chains]
    for reader, chain in zip(readers, chains, strict=True):
        reader.wait("device", lambda d: d["mac"] == marker.mac)
        whole = chain + reader.seen
        places = [e.place for e in whole if e.name != "snapshot"]
        assert places == sorted(set(places)), "an event came twice or out of order"
        assert [e.name for e in whole].count("snapshot") == 1, "a replay needs no snapshot"
        for run in _replay(whole, board.mac):
            _must_be_gapless(run, load)


def test_what_was_missed_is_replayed_in_order(hub: Hub, board: Device) -> None:
    """`Last-Event-ID` of the snapshot itself, of an event, of the last event."""
    first = Events(hub)
    first.snapshot()
    for value in range(20):
        board.report("photoresistor", value)
    first.wait("reading", lambda r: r["value"] == 19)
    first.close()
    seen = list(first.seen)
    for behind in (0, 1, 7, len(seen) - 1):
        again = Events(hub, last_event_id=seen[behind].id)
        board.report("photoresistor", 100)
        again.wait("reading", lambda r: r["value"] == 100)
        assert [e.id for e in again.seen[: len(seen) - behind - 1]] == [
            e.id for e in seen[behind + 1 :]
        ]
        assert again.seen[: len(seen) - behind - 1] == seen[behind + 1 :]
        assert "snapshot" not in {e.name for e in again.seen}
        again.close()
        board.report("photoresistor", 50, qos=1)


@pytest.mark.parametrize("strange", ["0-0", "99999999-1", "1-18446744073709551615", "x", "1", "-"])
def test_a_place_that_is_not_known_gets_a_snapshot(hub: Hub, strange: str) -> None:
    """If a replay is not possible, a `snapshot` comes instead."""
    board = Device(hub).boot()
    events = Events(hub, last_event_id=strange)
    assert [d["mac"] for d in events.snapshot()] == [board.mac]
    assert events.seen[0].name == "snapshot"


def test_a_restart_of_the_hub_brings_a_new_snapshot(hub: Hub, board: Device) -> None:
    """The ids of another boot can't be replayed."""
    events = Events(hub)
    events.snapshot()
    board.report("photoresistor", 33)
    last = events.wait("reading")
    board.client.drop()
    hub.kill_and_start()
    assert events.ended.wait(20)
    again = Events(hub, last_event_id=last.id)
    (shown,) = again.snapshot()
    assert (shown["mac"], shown["state"]) == (board.mac, "offline")
    assert again.seen[0].place[0] != last.place[0], "another boot"


def test_a_stop_ends_the_stream(hub: Hub) -> None:
    """A reader does not hold the hub up."""
    events = Events(hub)
    events.snapshot()
    assert hub.stop() == 0
    assert events.ended.wait(20)


def test_a_silent_stream_has_comments(hub: Hub) -> None:
    """A comment at least every 15 s, so that proxies and readers know that it lives."""
    events = Events(hub)
    events.snapshot()
    eventually(lambda: events.comments >= 2, "comments", within=32)


def test_a_slow_reader_gets_a_new_snapshot_and_costs_no_memory(hub: Hub, board: Device) -> None:
    """Never an unbounded queue."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(hub.http)
    slow.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    quick = Events(hub)
    quick.snapshot()
    load = Load(hub, board, 2000, pace=200)
    load.end()
    before = hub.resident_bytes()
    load = Load(hub, board, 28_000, pace=200)
    load.end()
    grown = hub.resident_bytes() - before
    assert grown < 64 << 20, f"{grown >> 20} MiB more"
    marker = Device(hub)
    marker.connect()
    marker.listen()
    marker.ask()
    # Now it reads: what fitted into the sockets' buffers, then a snapshot and what came after it.
    slow.settimeout(20)
    text = b""
    deadline = time.monotonic() + 40
    while marker.mac.encode() not in text:
        assert time.monotonic() < deadline, text[-1000:]
        text += slow.recv(65536)
    slow.close()
    assert len(re.findall(rb"event: ?snapshot", text)) >= 2
    assert quick.named("snapshot")


def test_twenty_readers_hear_the_same(hub: Hub, board: Device) -> None:
    """More than a browser's six connections."""
    readers = [Events(hub) for _ in range(20)]
    for reader in readers:
        reader.snapshot()
    for value in range(50):
        board.report("photoresistor", value)
    for reader in readers:
        reader.wait("reading", lambda r: r["value"] == 49)
    tails = [[(e.id, e.name, e.data) for e in r.named("reading")] for r in readers]
    assert all(tail == tails[0] for tail in tails)


def test_a_head_or_post_on_the_stream_does_not_hang(hub: Hub, api: Api) -> None:
    """Only GET streams."""
    assert api.request("POST", "/api/v1/events", body={}).status == 405
    connection = http.client.HTTPConnection(*hub.http, timeout=10)
    connection.request("HEAD", "/api/v1/events")
    assert connection.getresponse().status in (200, 405)
    connection.close()
