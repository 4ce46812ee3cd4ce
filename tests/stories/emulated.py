"""A board that runs the firmware's logic on emulated bare metal: `firmware/emulated` under QEMU."""

import re
import struct
import subprocess
import zlib
from types import TracebackType

from device import fresh_mac
from hub import REPOSITORY, Hub
from waiting import eventually

PROGRAM = (
    REPOSITORY / "firmware/emulated/target/riscv32imac-unknown-none-elf/release/capteur-emulated"
)

# Where the program looks for its settings, and where QEMU's network shows this machine.
CONFIG_ADDRESS = 0x8700_0000
HOST = b"10.0.2.2"


def settings(port: int, interval_ms: int, key: str, name: str) -> bytes:
    """A board's settings as `firmware/protocol` lays them out, written down here once more."""
    fields = b"".join(
        struct.pack("<BB", tag, len(value)) + value
        for tag, value in (
            (3, HOST),
            (4, struct.pack("<H", port)),
            (5, bytes.fromhex(key)),
            (6, name.encode()),
            (7, struct.pack("<I", interval_ms)),
        )
        if value
    )
    header = b"CPTR" + struct.pack("<HH", 1, len(fields))
    return header + struct.pack("<I", zlib.crc32(header + fields)) + fields


class EmulatedBoard:
    """A board that is switched on as long as the block lasts."""

    def __init__(
        self,
        hub: Hub,
        interval_ms: int = 200,
        *,
        mac: str | None = None,
        key: str = "",
        name: str = "",
    ) -> None:
        assert PROGRAM.is_file(), f"there is no {PROGRAM}: scripts/firmware emulated builds it"
        self.mac = mac or fresh_mac()
        config = hub.folder / "board.bin"
        config.write_bytes(settings(hub.mqtt[1], interval_ms, key, name))
        self._log = hub.folder / "board.log"
        arguments = {
            "-M": "virt",
            "-bios": "none",
            "-display": "none",
            "-monitor": "none",
            "-serial": "stdio",
            "-netdev": "user,id=net",
            "-kernel": str(PROGRAM),
        }
        devices = (
            f"virtio-net-device,netdev=net,mac={self.mac}",
            f"loader,file={config},addr={CONFIG_ADDRESS:#x},force-raw=on",
        )
        command = ["qemu-system-riscv32"]
        command += [word for pair in arguments.items() for word in pair]
        command += [word for device in devices for word in ("-device", device)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def __enter__(self) -> "EmulatedBoard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = self._process.poll()
        self.cut_power()
        if error is not None:
            error.add_note(f"the board's log:\n{self.log()}")
        else:
            assert status in (None, -9), f"QEMU ended with status {status}:\n{self.log()}"

    def cut_power(self) -> None:
        """Takes the power away: nothing is said to anybody."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def press(self) -> None:
        """Presses the button and holds it."""
        self._type(b"p")

    def release(self) -> None:
        """Lets go of the button."""
        self._type(b"r")

    def _type(self, key: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(key)
        self._process.stdin.flush()

    def log(self) -> str:
        """What the board has said on its serial port."""
        return self._log.read_text(errors="replace")

    def is_lit(self) -> bool | None:
        """How its LED was switched last; `None`: not at all yet."""
        switched = re.findall(r"the LED is (on|off)$", self.log(), re.M)
        return switched[-1] == "on" if switched else None

    def light(self) -> list[int]:
        """What it has measured so far."""
        return [int(level) for level in re.findall(r"the light is (\d+)$", self.log(), re.M)]

    def wait_says(self, words: str) -> None:
        """Returns once these words are in the log."""
        eventually(lambda: words in self.log(), f"{words!r} in the board's log")
