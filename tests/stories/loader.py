"""What the loaders of a chip have in common: the one in its ROM, and the stub.

After "Serial Protocol" in esptool's documentation; names in quotes are its sections. The encryption
of flash is left out, and so is NAND.
"""

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from fake_chip import Machine, Reason, Refused, need
from nor_flash import SECTOR


class Op(IntEnum):
    """The commands' numbers ("Commands")."""

    FLASH_BEGIN = 0x02
    FLASH_DATA = 0x03
    FLASH_END = 0x04
    MEM_BEGIN = 0x05
    MEM_END = 0x06
    MEM_DATA = 0x07
    SYNC = 0x08
    WRITE_REG = 0x09
    READ_REG = 0x0A
    SPI_SET_PARAMS = 0x0B
    SPI_ATTACH = 0x0D
    READ_FLASH_SLOW = 0x0E
    CHANGE_BAUDRATE = 0x0F
    FLASH_DEFL_BEGIN = 0x10
    FLASH_DEFL_DATA = 0x11
    FLASH_DEFL_END = 0x12
    SPI_FLASH_MD5 = 0x13
    GET_SECURITY_INFO = 0x14
    ERASE_FLASH = 0xD0
    ERASE_REGION = 0xD1
    READ_FLASH = 0xD2


@dataclass
class Download:
    """A download to the flash or to the RAM that has begun ("Writing Data")."""

    at: int
    size: int
    packets: int
    packet_len: int
    to_flash: bool
    seen: int = 0
    written: int = 0
    erased_to: int = 0
    inflater: "zlib._Decompress | None" = None
    inflated: bytes = b""


Handler = Callable[[bytes], tuple[int, bytes]]

# The stub inflates into a buffer of this size, and writes that.
INFLATED = 32768


class Loader(ABC):
    """A program that obeys a flashing tool."""

    # The value in the answer to SYNC: by it, a tool knows which of the two it speaks to.
    sync_value = 0

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._download: Download | None = None
        # What it does when it has answered, and says then.
        self._after: Callable[[], Iterable[bytes]] = tuple
        self._commands: dict[int, tuple[tuple[int, ...], Handler]] = {
            Op.FLASH_END: ((4,), self._flash_end),
            Op.FLASH_DEFL_END: ((4,), self._flash_end),
            Op.SYNC: ((36,), self._sync),
            Op.READ_REG: ((4,), self._read_reg),
            Op.SPI_SET_PARAMS: ((24,), self._set_params),
            Op.CHANGE_BAUDRATE: ((8,), self._change_speed),
            Op.SPI_FLASH_MD5: ((16,), self._md5),
            Op.GET_SECURITY_INFO: ((0,), self._security_info),
        }

    # -- "Command Packet" and "Response Packet" -----------------------------------------------

    def hear(self, packet: bytes) -> Iterator[bytes]:
        """Obeys a packet: the packets in answer."""
        if len(packet) < 8:
            return
        direction, op, size, checksum = struct.unpack_from("<BBHI", packet)
        data = packet[8:]
        try:
            need(direction == 0 and len(data) == size, Reason.LENGTH)
            value, payload = self._obey(op, data, checksum)
        except Refused as refused:
            self._after = tuple
            name = Op(op).name if op in list(Op) else f"{op:#04x}"
            self.machine.refused.append(f"{name}: {refused.reason.name}")
            yield self._answer(op, 0, b"", self._code(refused.reason))
            return
        for _ in range(8 if op == Op.SYNC else 1):
            yield self._answer(op, value, payload, 0)
        after, self._after = self._after, tuple
        yield from after()

    def _obey(self, op: int, data: bytes, checksum: int) -> tuple[int, bytes]:
        if op == Op.WRITE_REG:
            need(len(data) > 0 and len(data) % 16 == 0, Reason.LENGTH)
            for address, value, mask, _delay in struct.iter_unpack("<4I", data):
                self.machine.poke(address, value, mask)
            return 0, b""
        if op in (Op.FLASH_DATA, Op.FLASH_DEFL_DATA, Op.MEM_DATA):
            self._data(op, data, checksum)
            return 0, b""
        need(op in self._commands, Reason.COMMAND)
        lengths, handler = self._commands[op]
        need(len(data) in lengths, Reason.LENGTH)
        return handler(data)

    @abstractmethod
    def _code(self, reason: Reason) -> int:
        """The code of an error."""

    @abstractmethod
    def _answer(self, op: int, value: int, payload: bytes, error: int) -> bytes:
        """The final bytes are the status ("Status bytes"), of which the first two matter."""

    # -- "Writing Data" -----------------------------------------------------------------------

    def _data(self, op: int, data: bytes, checksum: int) -> None:
        need(len(data) >= 16, Reason.LENGTH)
        download = self._begun()
        need(download.to_flash == (op != Op.MEM_DATA), Reason.ORDER)
        need((download.inflater is not None) == (op == Op.FLASH_DEFL_DATA), Reason.ORDER)
        size, sequence, _, _ = struct.unpack_from("<4I", data)
        data = data[16:]
        need(size == len(data) <= download.packet_len, Reason.LENGTH)
        need(sequence == download.seen < download.packets, Reason.TOO_MUCH)
        state = 0xEF
        for byte in data:
            state ^= byte
        need(checksum == state, Reason.CHECKSUM)
        download.seen += 1
        if op == Op.MEM_DATA:
            need(download.written + size <= download.size, Reason.TOO_MUCH)
            self.machine.ram[download.at + download.written] = data
            download.written += size
        else:
            self._to_flash(download, data)

    def _begun(self) -> Download:
        if self._download is None:
            raise Refused(Reason.ORDER)
        return self._download

    def _begin(self, data: bytes, compressed: bool) -> Download:
        size, packets, packet_len, offset = struct.unpack_from("<4I", data)
        encrypted = any(data[16:])
        need(not encrypted, Reason.COMMAND)
        self.machine.span(offset, size)
        inflater = zlib.decompressobj() if compressed else None
        self._download = Download(offset, size, packets, packet_len, True, inflater=inflater)
        return self._download

    @abstractmethod
    def _to_flash(self, download: Download, data: bytes) -> None:
        """Writes what came in a packet."""

    def _inflate(self, download: Download, data: bytes) -> Iterator[bytes]:
        """Pieces for the flash."""
        if download.inflater is None:
            yield data
            return
        try:
            download.inflated += download.inflater.decompress(data)
        except zlib.error as damaged:
            raise Refused(Reason.INFLATE) from damaged
        while len(download.inflated) >= INFLATED or (download.inflater.eof and download.inflated):
            yield download.inflated[:INFLATED]
            download.inflated = download.inflated[INFLATED:]

    def _program(self, download: Download, data: bytes) -> bool:
        at = download.at + download.written
        need(at % 4 == 0 == len(data) % 4, Reason.FLASH)
        self.machine.span(at, len(data))
        download.written += len(data)
        return self.machine.flash.program(at, data)

    @abstractmethod
    def _flash_end(self, data: bytes) -> tuple[int, bytes]:
        """Ends a download."""

    # -- the other commands -------------------------------------------------------------------

    def _sync(self, data: bytes) -> tuple[int, bytes]:
        need(data == b"\x07\x07\x12\x20" + 32 * b"\x55", Reason.LENGTH)
        return self.sync_value, b""

    def _read_reg(self, data: bytes) -> tuple[int, bytes]:
        return self.machine.peek(*struct.unpack("<I", data)), b""

    def _set_params(self, data: bytes) -> tuple[int, bytes]:
        _id, self.machine.flash_len, _block, sector, _page, _mask = struct.unpack("<6I", data)
        need(sector == SECTOR, Reason.LENGTH)
        return 0, b""

    def _change_speed(self, data: bytes) -> tuple[int, bytes]:
        (speed,) = struct.unpack_from("<I", data)

        def change() -> Iterable[bytes]:
            self.machine.speed = speed
            return ()

        self._after = change
        return 0, b""

    def _attach(self, data: bytes) -> tuple[int, bytes]:
        # 0 is the default interface; at other pins, there is no flash.
        self.machine.attached = not any(data)
        return 0, b""

    def _md5(self, data: bytes) -> tuple[int, bytes]:
        offset, size, _, _ = struct.unpack("<4I", data)
        self.machine.span(offset, size)
        return 0, self._digest(self.machine.flash.read(offset, size))

    @abstractmethod
    def _digest(self, data: bytes) -> bytes:
        """The MD5 as it is told ("Verifying Uploaded Data")."""

    def _security_info(self, _data: bytes) -> tuple[int, bytes]:
        flags, crypt_count, purposes, eco = 0, 0, bytes(7), 0
        return 0, struct.pack("<IB7sII", flags, crypt_count, purposes, self.machine.chip.id, eco)
