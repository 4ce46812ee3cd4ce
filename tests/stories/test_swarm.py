"""A thousand boards after a power cut: all come online, each under a name of its own."""

import asyncio
import signal
import subprocess
import time
from contextlib import suppress

import wire
from api import Api
from device import COMMAND, JOIN, LEAVE, NAME_ASSIGN, fresh_mac
from hub import BINARY, Hub, clean_environment
from waiting import eventually


def _online(api: Api) -> list[dict]:
    return [d for d in api.devices() if d["state"] == "online"]


def test_a_thousand_simulated_boards_come_online(hub: Hub, api: Api) -> None:
    """`capteur simulate` runs the real firmware's logic; impatient, as boards are."""
    options = ["--devices", "1000", "--interval", "5", "--seed", "7"]
    boards = subprocess.Popen(
        [BINARY, "simulate", "--broker", f"{hub.mqtt[0]}:{hub.mqtt[1]}", *options],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: len(_online(api)) == 1000, "1000 boards online", within=90)
        devices = api.devices()
        assert len({d["name"] for d in devices}) == len({d["mac"] for d in devices}) == 1000
        assert api.led("capteur1000", True).json()["state"] == "confirmed"

        def all_measured() -> bool:
            return all(d["channels"]["photoresistor"] for d in api.devices())

        eventually(all_measured, "a light reading of each", within=60)
        assert boards.poll() is None
    finally:
        boards.terminate()
        boards.wait(30)
    eventually(lambda: not _online(api), "all offline after they have gone", within=60)


def test_boards_whose_network_comes_and_goes_are_one_device_each(hub: Hub, api: Api) -> None:
    """`--flaky` cuts connections at random moments: no board is doubled, none is lost."""
    options = ["--devices", "200", "--interval", "1", "--flaky", "--seed", "3"]
    boards = subprocess.Popen(
        [BINARY, "simulate", "--broker", f"{hub.mqtt[0]}:{hub.mqtt[1]}", *options],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        joins = "capteur_joins_total"
        eventually(lambda: api.metrics()[joins] >= 230, "30 joins after a cut", within=60)
        eventually(lambda: len(_online(api)) >= 180, "most of them online", within=40)
    finally:
        boards.send_signal(signal.SIGINT)
        status = boards.wait(30)
    assert status == 0
    devices = eventually(lambda: not _online(api) and api.devices(), "all offline", within=60)
    assert len({d["name"] for d in devices}) == len(devices) == 200


class ImpatientBoard:
    """Repeats its MAC address every 100 ms until it has an answer; then starts its session."""

    REPEAT = 0.1

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.mac = fresh_mac()
        self.asked = 0
        self.answers: list[tuple[str, str]] = []
        self._buffer = bytearray()

    async def _open(self, will: tuple[str, str, int] | None) -> None:
        self._reader, self._writer = await asyncio.open_connection(*self.hub.mqtt)
        self._buffer.clear()
        client_id = self.mac.replace(":", "")
        self._writer.write(wire.connect(client_id, keepalive=5, will=will))
        await self._expect(wire.CONNACK)

    async def _next(self) -> wire.Packet:
        while (got := wire.take(self._buffer, wire.V3)) is None:
            data = await self._reader.read(4096)
            assert data, f"{self.mac}: the hub closed the connection"
            self._buffer += data
        return got

    async def _expect(self, kind: int) -> wire.Packet:
        while True:
            got = await self._next()
            if got.kind == kind:
                return got

    async def live(self, repeats: int, done: asyncio.Event) -> None:
        """From power-on until `done`; asks so often before it takes the last answer."""
        await self._open(None)
        self._writer.write(wire.subscribe(NAME_ASSIGN, options=1))
        await self._expect(wire.SUBACK)
        for _ in range(repeats):
            self._writer.write(wire.publish(JOIN, self.mac))
            self.asked += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(self.REPEAT):
                    while True:
                        self._take(await self._next())
        while len(self.answers) < self.asked:
            self._take(await self._next())
        name, session = self.answers[-1]
        self._writer.write(wire.disconnect())
        self._writer.close()

        await self._open((LEAVE, f"{name};{session}", 1))
        self._writer.write(wire.subscribe(COMMAND, options=1))
        await self._expect(wire.SUBACK)
        self._writer.write(wire.publish(JOIN, f"{name};{session}", 1, 2))
        await self._expect(wire.PUBACK)
        while not done.is_set():
            self._writer.write(wire.ping())
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 2)
        self._writer.close()

    def _take(self, got: wire.Packet) -> None:
        if got.kind != wire.PUBLISH:
            return
        if got.qos:
            self._writer.write(wire.answer(wire.PUBACK, got.packet_id))
        mac, name, session = got.payload.split(";")
        assert mac == self.mac, f"{self.mac} was told what is meant for {mac}"
        self.hub.secrets.add(session)
        self.answers.append((name, session))


def test_three_hundred_boards_that_repeat_their_mac_all_come_online(hub: Hub, api: Api) -> None:
    """Every repeat is answered, and the last answer works: nobody drowns in the repeats."""
    boards = [ImpatientBoard(hub) for _ in range(300)]

    async def story() -> None:
        done = asyncio.Event()
        lives = [asyncio.create_task(board.live(5, done)) for board in boards]
        began = time.monotonic()
        while len(await asyncio.to_thread(_online, api)) < len(boards):
            assert time.monotonic() - began < 60, "they do not all come online"
            for life in lives:
                if life.done():
                    life.result()
            await asyncio.sleep(0.2)
        done.set()
        await asyncio.gather(*lives)

    asyncio.run(story())
    assert all(len(board.answers) == board.asked for board in boards)
    assert len({board.answers[-1][0] for board in boards}) == 300, "no two share a name"
    assert all(len({name for name, _ in board.answers}) == 1 for board in boards)
    assert len(api.devices()) == 300
    eventually(lambda: not _online(api), "all offline after they have gone")
