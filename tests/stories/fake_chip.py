"""An ESP32 as a loader meets it: registers, RAM and flash, and when they refuse.

Names in quotes are sections of "Serial Protocol" in esptool's documentation.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from nor_flash import NorFlash


class Program(Enum):
    """What a chip runs."""

    ROM = auto()
    STUB = auto()
    OTHER = auto()  # an application, or nothing that makes sense


class Reason(Enum):
    """Why a command is refused: the ROM's code ("ROM Loader Errors") and the stub's."""

    COMMAND = (0x05, 0xFF)
    LENGTH = (0x05, 0xC0)
    CHECKSUM = (0x07, 0xC1)
    FLASH = (0x08, 0xC4)
    ORDER = (0x06, 0xC6)
    INFLATE = (0x0B, 0xC7)
    TOO_MUCH = (0x05, 0xC9)


class Refused(Exception):
    """A command that the chip does not obey."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


def need(holds: bool, reason: Reason) -> None:
    """Refuses the command unless `holds`."""
    if not holds:
        raise Refused(reason)


@dataclass(frozen=True)
class Chip:
    """What sets a chip apart, for a loader: numbers of its reference manual and of the ROM."""

    id: int
    # MHz of the crystal on the usual modules
    crystal: int
    # the SPI controller that the flash is at
    spi: int
    # the eFuses with the MAC: four bytes in the first word, two in the lower half of the next
    mac: int
    # the same eFuses from there on, by the word: the silicon's revision, what else is in them
    efuses: dict[int, int]
    # other registers, with what they hold after a reset
    registers: dict[int, int] = field(default_factory=dict)


# Behind the MAC, the newer chips have what makes an EUI-64 of it.
EUI64 = 0xFEFF << 16

CHIPS = {
    "esp32c3": Chip(5, 40, 0x6000_2000, 0x6000_8844, {3: 4 << 18}),  # v0.4
    "esp32c6": Chip(13, 40, 0x6000_3000, 0x600B_0844, {1: EUI64, 3: 1 << 18}),  # v0.1
    "esp32c2": Chip(12, 26, 0x6000_2000, 0x6000_8840, {1: 2 << 16 | 1 << 20}),  # v1.2
    "esp32c5": Chip(
        # v1.0; the register is the one of its clock, which says what the crystal is
        23,
        48,
        0x6000_3000,
        0x600B_4844,
        {1: EUI64, 2: 1 << 4},
        {0x6009_6110: 48 << 24},
    ),
}

# The UART's divider of the crystal's frequency, at the speed that the ROM starts with.
UART_CLKDIV, FIRST_SPEED = 0x6000_0014, 115_200

# The SPI controller's registers, behind its base, and the bits that matter for a command of the
# user's ("32-bit Read/Write": the flash's JEDEC id is read that way).
SPI_CMD, SPI_USR, SPI_USR2, SPI_W0 = 0x00, 0x18, 0x20, 0x58
SPI_CMD_USR, SPI_USR_COMMAND, SPI_USR_MISO = 1 << 18, 1 << 31, 1 << 28
READ_JEDEC_ID, MANUFACTURER = 0x9F, 0x4020


class Machine:
    """A chip and its flash, without a program."""

    def __init__(self, chip: Chip, mac: bytes, flash: NorFlash) -> None:
        self.chip = chip
        self.mac = mac
        self.flash = flash
        # Commands that it did not obey, and why.
        self.refused: list[str] = []
        # What it runs, and how many programs that makes.
        self.runs, self.starts = Program.OTHER, 0
        self.reset()

    def reset(self) -> None:
        """What a reset leaves: eFuses and flash are as they were."""
        self.start(Program.ROM)
        self.ram: dict[int, bytes] = {}
        # Bits per second; None until the ROM has found them ("Initial Synchronisation").
        self.speed: int | None = None
        self.attached = False
        self.flash_len = len(self.flash)
        words = {0: int.from_bytes(self.mac[2:]), 1: int.from_bytes(self.mac[:2])}
        for word, value in self.chip.efuses.items():
            words[word] = words.get(word, 0) | value
        self._registers = {self.chip.mac + 4 * word: value for word, value in words.items()}
        self._registers[UART_CLKDIV] = self.chip.crystal * 1_000_000 // FIRST_SPEED
        self._registers |= self.chip.registers

    def start(self, program: Program) -> None:
        """Runs another program, or the same one anew."""
        self.runs = program
        self.starts += 1

    def peek(self, address: int) -> int:
        """Reads a register; those that nobody knows hold what was written, and 0 at first."""
        need(address % 4 == 0, Reason.LENGTH)
        return self._registers.get(address, 0)

    def poke(self, address: int, value: int, mask: int) -> None:
        """Writes a register, and lets the SPI controller do what it is told that way."""
        self._registers[address] = self.peek(address) & ~mask | value & mask
        if address == self.chip.spi + SPI_CMD and value & SPI_CMD_USR:
            self._registers[address] &= ~SPI_CMD_USR
            usr, usr2 = self.peek(self.chip.spi + SPI_USR), self.peek(self.chip.spi + SPI_USR2)
            wanted = SPI_USR_COMMAND | SPI_USR_MISO
            if self.attached and usr & wanted == wanted and usr2 & 0xFF == READ_JEDEC_ID:
                log2 = len(self.flash).bit_length() - 1
                self._registers[self.chip.spi + SPI_W0] = log2 << 16 | MANUFACTURER

    def span(self, offset: int, size: int) -> None:
        """Refuses what is not in the flash, or not where the flash ends for the loader."""
        need(self.attached, Reason.FLASH)
        need(offset + size <= min(self.flash_len, len(self.flash)), Reason.FLASH)
