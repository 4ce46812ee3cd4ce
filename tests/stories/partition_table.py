"""The partition table in a board's flash (ESP-IDF, "Partition Tables")."""

import struct
from dataclasses import dataclass

PARTITION_TABLE, ENTRY_LEN = 0x8000, 32
ENTRY_MAGIC, DIGEST_MAGIC = 0x50AA, 0xEBEB


@dataclass(frozen=True)
class Partition:
    """An entry of the partition table."""

    name: str
    kind: int
    subtype: int
    offset: int
    size: int


def partitions(flash: bytes) -> list[Partition]:
    """The partition table, which has to end with the digest of its entries."""
    found: list[Partition] = []
    for start in range(PARTITION_TABLE, PARTITION_TABLE + 0xC00, ENTRY_LEN):
        magic, kind, subtype, offset, size, name, flags = struct.unpack_from(
            "<HBBII16sI", flash, start
        )
        if magic == DIGEST_MAGIC:
            return found
        assert (magic, flags) == (ENTRY_MAGIC, 0)
        found.append(Partition(name.rstrip(b"\0").decode(), kind, subtype, offset, size))
    raise AssertionError("the partition table does not end")
