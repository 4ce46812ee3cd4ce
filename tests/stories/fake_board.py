"""A board in download mode, at the end of a serial line that is a pseudoterminal.

What it does with what it hears is in `rom` and `stub`; here are the line, and what can go
wrong with it. The board's boot button is held: after a reset, it is in download mode again. A
pseudoterminal has no DTR and RTS, so the host has to be told not to reset the board.
"""

import fcntl
import os
import select
import struct
import threading
import tty
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType

from fake_chip import CHIPS, Machine, Program
from loader import Loader, Op
from nor_flash import NorFlash
from rom import Rom
from stub import Stub

MIB = 1 << 20

# SLIP ("Low Level Protocol").
END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"

# Linux's ioctl that tells any speed of a line, and where in its answer the speed is.
TCGETS2, TERMIOS2_LEN, OUTPUT_SPEED = 0x802C_542A, 44, 40


def encode(packet: bytes) -> bytes:
    """A packet as it goes over the line."""
    return END + packet.replace(ESCAPE, ESCAPED_ESCAPE).replace(END, ESCAPED_END) + END


def decode(frame: bytes) -> bytes:
    """What was between two ends."""
    return frame.replace(ESCAPED_END, END).replace(ESCAPED_ESCAPE, ESCAPE)


class FakeBoard:
    """A board that is plugged in as long as the block lasts."""

    def __init__(
        self, chip: str = "esp32c3", flash_len: int = 4 * MIB, mac: str = "84:F7:03:A0:B1:C2"
    ) -> None:
        self.mac = mac
        self.flash = NorFlash(flash_len)
        self._machine = Machine(CHIPS[chip], bytes.fromhex(mac.replace(":", "")), self.flash)
        self._starts = 0
        self._loader: Loader | None = None
        # How often each command was heard.
        self.heard: Counter[int] = Counter()
        self._faults: dict[tuple[int, int], Callable[[], None]] = {}
        self._silent = False
        # What becomes of an answer on its way.
        self.distort: Callable[[bytes], bytes] = bytes
        self._line, self._host = os.openpty()
        tty.setraw(self._host)
        os.set_blocking(self._line, False)
        self.port = os.ttyname(self._host)
        self._wake, self._unplug = os.pipe()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._live, name="board", daemon=True)

    def __enter__(self) -> "FakeBoard":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unplug()
        self._thread.join(10)
        os.close(self._wake)
        if error is not None:
            error.add_note(f"the board heard {self.heard} and refused {self.refused}")
        elif self._error is not None:
            raise self._error

    @property
    def refused(self) -> list[str]:
        """Commands that the board did not obey, and why."""
        return self._machine.refused

    def press_reset(self) -> None:
        """Has the chip begin anew, while nobody speaks to it."""
        self._machine.reset()

    # -- what can go wrong --------------------------------------------------------------------

    def after(self, op: Op, times: int, fault: Callable[[], None]) -> None:
        """Has something happen when a command has been heard so many times."""
        self._faults[op, times] = fault

    def fall_silent(self) -> None:
        """From now on nothing is answered."""
        self._silent = True

    def recover(self) -> None:
        """Nothing goes wrong any more, and the reset button is pressed."""
        self._faults.clear()
        self._silent = False
        self.press_reset()

    def unplug(self) -> None:
        """The port vanishes."""
        if self._unplug >= 0:
            os.close(self._unplug)
            self._unplug = -1

    # -- its life -----------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            for packet in self._packets():
                for answer in self._hear(packet):
                    self._say(encode(answer))
        except Exception as error:  # to be told by the thread that runs the story
            self._error = error
        finally:
            os.close(self._host)
            os.close(self._line)

    def _hear(self, packet: bytes) -> Iterator[bytes]:
        if len(packet) >= 8:
            op = packet[1]
            self.heard[op] += 1
            self._faults.get((op, self.heard[op]), lambda: None)()
            if op == Op.SYNC and self._machine.speed is None:
                self._machine.speed = self._host_speed()
        if self._starts != self._machine.starts:
            self._starts = self._machine.starts
            kinds: dict[Program, type[Loader]] = {Program.ROM: Rom, Program.STUB: Stub}
            kind = kinds.get(self._machine.runs)
            self._loader = kind and kind(self._machine)
        # At another speed, it is noise for the board.
        if self._loader and not self._silent and self._machine.speed == self._host_speed():
            yield from map(self.distort, self._loader.hear(packet))

    def _host_speed(self) -> int:
        answer = fcntl.ioctl(self._line, TCGETS2, bytes(TERMIOS2_LEN))
        return int(struct.unpack_from("<I", answer, OUTPUT_SPEED)[0])

    def _packets(self) -> Iterator[bytes]:
        """What comes in, until the board is unplugged."""
        pending = b""
        while True:
            ready, _, _ = select.select([self._line, self._wake], [], [])
            if self._wake in ready:
                return
            *frames, pending = (pending + os.read(self._line, 65536)).split(END)
            yield from (decode(frame) for frame in frames if frame)

    def _say(self, data: bytes) -> None:
        while data:
            unplugged, _, _ = select.select([self._wake], [self._line], [])
            if unplugged:
                return
            data = data[os.write(self._line, data) :]
