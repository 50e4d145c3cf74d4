"""Which buffers share memory: a buffer's place is free again after its last reader."""

from dataclasses import dataclass, field


@dataclass
class Buffer:
    """Words of memory that are in use from step ``first`` to step ``last``."""

    name: str
    words: int
    first: int
    last: int
    offset: int = field(default=0)


def place_buffers(buffers: list[Buffer]) -> int:
    """Give each buffer the lowest offset that is free all the while, the largest first; return the words needed."""
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda each: -each.words):
        beside = [other for other in placed if other.first <= buffer.last and buffer.first <= other.last]
        buffer.offset = 0
        for other in sorted(beside, key=lambda each: each.offset):
            if buffer.offset + buffer.words > other.offset and other.offset + other.words > buffer.offset:
                buffer.offset = other.offset + other.words
        placed.append(buffer)
    return max((each.offset + each.words for each in placed), default=0)
