"""The stub: the loader that flashing tools put into a chip's RAM.

The code that they send is not run here; what it would do is done. After "Serial Protocol" in
esptool's documentation (names in quotes are its sections), and Espressif's esp-flasher-stub where
that is silent. Its own loading into RAM is left out.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator

from fake_chip import Machine, Reason, Refused, need
from loader import Download, Loader, Op
from nor_flash import SECTOR


class Stub(Loader):
    """The loader in the RAM."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        machine.attached = True
        self._late: Reason | None = None
        self._reading: Iterator[bytes] | None = None
        self._acknowledged = 0
        self._commands |= {
            Op.FLASH_BEGIN: ((16, 20), lambda data: self._only_begin(data, False)),
            Op.FLASH_DEFL_BEGIN: ((16, 20), lambda data: self._only_begin(data, True)),
            Op.SPI_ATTACH: ((4,), self._attach),
            Op.ERASE_FLASH: ((0,), self._erase_flash),
            Op.ERASE_REGION: ((8,), self._erase_region),
            Op.READ_FLASH: ((16,), self._read_flash),
        }

    def hear(self, packet: bytes) -> Iterator[bytes]:
        """As any loader; while the flash is read, packets are acknowledgements."""
        if self._reading is None:
            yield from super().hear(packet)
        else:
            self._acknowledged = int.from_bytes(packet, "little")
            yield next(self._reading)

    def _obey(self, op: int, data: bytes, checksum: int) -> tuple[int, bytes]:
        # What went wrong after the last answer is told in the place of this one.
        late, self._late = self._late, None
        if late is not None:
            raise Refused(late)
        return super()._obey(op, data, checksum)

    def _code(self, reason: Reason) -> int:
        return reason.value[1]

    def _answer(self, op: int, value: int, payload: bytes, error: int) -> bytes:
        status = struct.pack("<BB", error, 0)
        return struct.pack("<BBHI", 1, op, len(payload) + 2, value) + payload + status

    def _only_begin(self, data: bytes, compressed: bool) -> tuple[int, bytes]:
        download = self._begin(data, compressed)
        download.erased_to = download.at - download.at % SECTOR
        return 0, b""

    def _to_flash(self, download: Download, data: bytes) -> None:
        def write() -> Iterable[bytes]:
            try:
                for piece in self._inflate(download, data):
                    self._erase_and_program(download, piece)
            except Refused as refused:
                self._late = refused.reason
            return ()

        # It answers first, so that the next packet comes in meanwhile.
        self._after = write

    def _erase_and_program(self, download: Download, data: bytes) -> None:
        left = download.size - download.written
        if download.inflater is not None:
            need(len(data) <= left, Reason.TOO_MUCH)
        data = data[:left]  # the last packet is padded
        end = download.at + download.written + len(data)
        end += -end % SECTOR
        if download.erased_to < end:
            self.machine.flash.erase(download.erased_to, end)
            download.erased_to = end
        self._program(download, data)

    def _flash_end(self, _data: bytes) -> tuple[int, bytes]:
        download = self._begun()
        need(download.written == download.size, Reason.LENGTH)
        # By the documentation, 0 reboots. The stub that comes with esptool 5.6 and espflash 4.7 has
        # no code for that, and stays.
        self._download = None
        return 0, b""

    def _erase_flash(self, _data: bytes) -> tuple[int, bytes]:
        self.machine.flash.erase(0, len(self.machine.flash))
        return 0, b""

    def _erase_region(self, data: bytes) -> tuple[int, bytes]:
        offset, size = struct.unpack("<II", data)
        need(offset % SECTOR == 0 == size % SECTOR, Reason.LENGTH)
        self.machine.span(offset, size)
        self.machine.flash.erase(offset, offset + size)
        return 0, b""

    # -- "Reading Flash" ----------------------------------------------------------------------

    def _read_flash(self, data: bytes) -> tuple[int, bytes]:
        offset, size, packet_len, _in_flight = struct.unpack("<4I", data)
        need(0 < packet_len <= SECTOR, Reason.LENGTH)
        self.machine.span(offset, size)

        def packets() -> Iterator[bytes]:
            # One at a time, whatever the host would bear; so does esp-flasher-stub.
            content = self.machine.flash.read(offset, size)
            for start in range(0, size, packet_len):
                yield content[start : start + packet_len]
                if self._acknowledged != min(start + packet_len, size):
                    break
            self._reading = None
            yield hashlib.md5(content).digest()

        def first() -> Iterable[bytes]:
            self._reading = packets()
            return [next(self._reading)]

        self._after = first
        return 0, b""

    def _digest(self, data: bytes) -> bytes:
        return hashlib.md5(data).digest()
