"""NOR flash as the chips have it: erased by the sector to ones, programmed from ones to zeros."""

SECTOR = 4096


class NorFlash:
    """The cells of a flash chip; a new one is erased."""

    def __init__(self, size: int) -> None:
        self._cells = bytearray(b"\xff" * size)
        # Addresses whose bits don't become ones any more.
        self.worn: set[int] = set()

    def __len__(self) -> int:
        return len(self._cells)

    def read(self, offset: int, size: int) -> bytes:
        """What lies there."""
        assert 0 <= offset <= offset + size <= len(self), f"{offset:#x} + {size:#x}"
        return bytes(self._cells[offset : offset + size])

    def erase(self, start: int, end: int) -> None:
        """Makes whole sectors ones."""
        assert start % SECTOR == 0 == end % SECTOR, f"{start:#x} to {end:#x}"
        self._cells[start:end] = b"\xff" * (end - start)
        for address in self.worn & set(range(start, end)):
            self._cells[address] = 0

    def program(self, offset: int, data: bytes) -> bool:
        """Makes ones zeros, and no zero a one: whether `data` lies there now."""
        there = self.read(offset, len(data))
        joined = int.from_bytes(there, "little") & int.from_bytes(data, "little")
        self._cells[offset : offset + len(data)] = joined.to_bytes(len(data), "little")
        return self.read(offset, len(data)) == data
