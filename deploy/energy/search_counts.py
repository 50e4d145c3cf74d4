"""Work of a linear scan over packed binary codes, so that a search can be billed beside the encoder."""

import math
from dataclasses import dataclass

from spikinghash.errors import ConfigError


@dataclass(frozen=True)
class ScanWork:
    """Operations of one query against N codes of K bits; a code lies in whole machine words."""

    codes: int
    bits: int
    word_bits: int

    @property
    def words(self) -> int:
        """Words read; as many XORs and popcounts are done."""
        return self.codes * math.ceil(self.bits / self.word_bits)

    @property
    def bytes_read(self) -> int:
        """Packed codes without padding: ceil(K / 8) bytes each."""
        return self.codes * math.ceil(self.bits / 8)

    @property
    def xors(self) -> int:
        """One per word."""
        return self.words

    @property
    def popcounts(self) -> int:
        """One per word."""
        return self.words

    @property
    def adds(self) -> int:
        """Sums of the popcounts of a code that takes several words."""
        return self.words - self.codes

    @property
    def compares(self) -> int:
        """One per code, with the worst distance kept or with the radius."""
        return self.codes


def scan(codes: int, bits: int, word_bits: int = 64) -> ScanWork:
    """Work of one query against ``codes`` codes of ``bits`` bits on words of ``word_bits`` bits.

    Raises:
        ConfigError: a number is not positive.
    """
    for name, value in (("codes", codes), ("bits", bits), ("word_bits", word_bits)):
        if value < 1:
            raise ConfigError(f"{name}: {value} is too few: use 1 or more")
    return ScanWork(codes, bits, word_bits)
