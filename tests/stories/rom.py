"""The loader in a chip's ROM.

Names in quotes are sections of "Serial Protocol" in esptool's documentation.
"""

import hashlib
import struct
from collections.abc import Iterable

from fake_chip import Machine, Program, Reason, need
from loader import Download, Loader, Op
from nor_flash import SECTOR


class Rom(Loader):
    """The loader in the ROM."""

    sync_value = 0x2012_0707

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._commands |= {
            Op.FLASH_BEGIN: ((20,), lambda data: self._erase_and_begin(data, False)),
            Op.FLASH_DEFL_BEGIN: ((20,), lambda data: self._erase_and_begin(data, True)),
            Op.MEM_BEGIN: ((16,), self._mem_begin),
            Op.MEM_END: ((8,), self._mem_end),
            Op.SPI_ATTACH: ((8,), self._attach),
            Op.READ_FLASH_SLOW: ((8, 16), self._read_slow),
        }

    def _code(self, reason: Reason) -> int:
        return reason.value[0]

    def _answer(self, op: int, value: int, payload: bytes, error: int) -> bytes:
        status = struct.pack("<BBH", int(error != 0), error, 0)
        return struct.pack("<BBHI", 1, op, len(payload) + 4, value) + payload + status

    def _erase_and_begin(self, data: bytes, compressed: bool) -> tuple[int, bytes]:
        download = self._begin(data, compressed)
        need(download.at % SECTOR == 0, Reason.FLASH)
        end = download.at + -(-download.size // SECTOR) * SECTOR
        self.machine.span(download.at, end - download.at)
        self.machine.flash.erase(download.at, end)
        return 0, b""

    def _to_flash(self, download: Download, data: bytes) -> None:
        for piece in self._inflate(download, data):
            # It reads back what it has written ("ROM Loader Errors", 0x08).
            need(self._program(download, piece), Reason.FLASH)

    def _flash_end(self, data: bytes) -> tuple[int, bytes]:
        self._begun()
        self._download = None
        (run,) = struct.unpack("<I", data)

        def leave() -> Iterable[bytes]:
            if run:
                self.machine.start(Program.OTHER)
            else:
                self.machine.reset()
            return ()

        self._after = leave
        return 0, b""

    def _mem_begin(self, data: bytes) -> tuple[int, bytes]:
        size, packets, packet_len, offset = struct.unpack("<4I", data)
        need(offset % 4 == 0, Reason.LENGTH)
        self._download = Download(offset, size, packets, packet_len, False)
        return 0, b""

    def _mem_end(self, data: bytes) -> tuple[int, bytes]:
        need(not self._begun().to_flash, Reason.ORDER)
        self._download = None
        stay, entry = struct.unpack("<II", data)

        def run() -> Iterable[bytes]:
            loaded = any(at <= entry < at + len(code) for at, code in self.machine.ram.items())
            # Where nothing was loaded, the chip gets lost.
            self.machine.start(Program.STUB if loaded else Program.OTHER)
            return [b"OHAI"] if loaded else []

        if not stay:
            self._after = run
        return 0, b""

    def _read_slow(self, data: bytes) -> tuple[int, bytes]:
        offset, size = struct.unpack_from("<II", data)
        need(size <= 64, Reason.LENGTH)
        self.machine.span(offset, size)
        return 0, self.machine.flash.read(offset, size).ljust(64, b"\0")

    def _digest(self, data: bytes) -> bytes:
        return hashlib.md5(data).hexdigest().encode()
