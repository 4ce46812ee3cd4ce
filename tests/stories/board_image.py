"""What lies in a board's flash, read by the descriptions of its formats.

The partition table is ESP-IDF's ("Partition Tables", "Binary Partition Table"), the settings are
those of `firmware/protocol`, both decoded here once more.
"""

import struct
import zlib
from dataclasses import dataclass

PARTITION_TABLE, ENTRY_LEN = 0x8000, 32
ENTRY_MAGIC, DIGEST_MAGIC = 0x50AA, 0xEBEB

# The fields of the settings that are texts, and how the others are packed.
TEXTS = {1: "ssid", 2: "passphrase", 3: "host", 6: "name", 8: "board"}
PACKED = {
    4: ("port", "<H"),
    5: ("key", "32s"),
    7: ("interval_ms", "<I"),
    9: ("led", "B"),
    10: ("button", "B"),
    11: ("calibration", "<HH"),
}

Settings = dict[str, str | int | bytes | tuple[int, int]]


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


def settings(partition: bytes) -> Settings:
    """A board's settings."""
    magic, version, length, checksum = struct.unpack_from("<4sHHI", partition)
    fields = partition[12 : 12 + length]
    assert (magic, version) == (b"CPTR", 1)
    assert checksum == zlib.crc32(partition[:8] + fields)
    found: Settings = {}
    while fields:
        tag, size = fields[0], fields[1]
        value, fields = fields[2 : 2 + size], fields[2 + size :]
        assert len(value) == size
        if tag in TEXTS:
            found[TEXTS[tag]] = value.decode()
        else:
            name, form = PACKED[tag]
            unpacked = struct.unpack(form, value)
            found[name] = unpacked[0] if len(unpacked) == 1 else unpacked
    return found
