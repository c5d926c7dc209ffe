"""Reads untrusted bytes from front to back; a length is checked against what is left before anything is made of it."""

MAX_VARINT_BYTES = 5
MAX_VARINT = 2**32 - 1


class PackedFileError(ValueError):
    """The bytes are no packed file of ours, or a damaged one; the message is one line."""


def varint(value: int) -> bytes:
    """Return a whole number 0..2**32-1 as LEB128: seven bits a byte, lowest first; ValueError beyond."""
    if not 0 <= value <= MAX_VARINT:
        raise ValueError(f"cannot store {value}, expected 0 to {MAX_VARINT}")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class ByteReader:
    """A position in a sequence of bytes. Every method raises PackedFileError, naming `what` it read, at the end."""

    def __init__(self, data: memoryview, *, offset: int) -> None:
        self._data = data
        self.offset = offset

    @property
    def left(self) -> int:
        """Return how many bytes have not been read."""
        return len(self._data) - self.offset

    def take(self, length: int, what: str) -> bytes:
        """Return the next `length` bytes."""
        if length > self.left:
            raise PackedFileError(f"{what}: {length} bytes expected at byte {self.offset}, {self.left} left")
        self.offset += length
        return bytes(self._data[self.offset - length : self.offset])

    def byte(self, what: str) -> int:
        """Return the next byte, 0..255."""
        return self.take(1, what)[0]

    def varint(self, what: str) -> int:
        """Return the next LEB128 number; only its shortest form is accepted, so that a file has one spelling."""
        value = 0
        for position in range(MAX_VARINT_BYTES):
            byte = self.byte(what)
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                if value > MAX_VARINT or (byte == 0 and position > 0):
                    break
                return value
        raise PackedFileError(f"{what}: not a number of at most {MAX_VARINT_BYTES} bytes in its shortest form")
