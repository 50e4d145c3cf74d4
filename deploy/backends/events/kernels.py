"""The steps of the integer network, compiled by Numba: one call encodes many recordings without the interpreter.

A network is a program: a row of numbers per step, over flat buffers. Currents are held in words of 64 bits, several
lanes each: see ``tables.Width``. Indices that are computed are unsigned, since Numba makes signed ones count from the
end where they are negative, at a cost in every access.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from deploy.backends.events.width import CHUNK

Array = NDArray[Any]
_Kernel = Callable[..., Any]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy")

# Sums that are kept in eight variables become two vectors: 1.7 times faster, and off by default. It orders no sum of
# floats anew, so that other kernels of this process compute what they did.
_config: Any = numba.config
_config.SLP_VECTORIZE = 1

LINEAR, MIX, NEURONS, PRODUCT = range(4)
"""What a step does."""
NIBBLES = 16
"""Rows of a table: as many as four spikes have combinations. A nibble is kept times ``CHUNK``: where its row begins."""
_PACK = 0x08102040
"""Times four bytes of 0 or 1, it leaves them as bits 3 to 6 of the topmost byte: a nibble times ``CHUNK``."""

_COLUMNS = (
    "kind",
    "steps",
    "places",  # pixels of the map
    "chunks",  # of a place's currents
    "source",  # where its spikes begin: nibbles, or bytes of a product
    "source_step",  # and how far it is to those of the next time step
    "look_up",  # where its indices begin in ``look_up``
    "table",  # where its rows begin in ``table``
    "stream",  # where the residual stream begins in ``words``; -1 for none
    "fresh",  # whether it begins the stream
    "block",  # places that are computed at once
    # A linear map.
    "taps",
    "run",  # nibbles of a tap
    # A wave mixer.
    "levels",
    "children",
    "members",
    "blocks",
    "groups",
    "quads",  # nibbles of a group
    "lift",  # words of a group
    # A product.
    "heads",
    "width",
    "weight",
    "row",  # bytes of a token
    # Neurons behind any of them.
    "lanes",  # of a place; 0 for no neurons
    "limit",
    "shift",
    "state",  # where their potentials begin, and how far it is to the next place
    "state_place",
    "kept",  # where their spikes are put as bytes, and how far it is to the next time step and place
    "kept_step",
    "kept_place",
    "out",  # the same as nibbles
    "out_step",
)
STEP = np.dtype([(column, np.int64) for column in _COLUMNS])
"""A row of a program."""


@_compiled
def encode(
    frames: Array, program: Array, look_up: Array, table: Array, words: Array, potentials: Array, current: Array,
    spikes: Array, nibbles: Array, sign: int, ballot: Array, votes: Array, start: int, stop: int, resting: bool,
) -> None:  # fmt: skip
    """Write the spikes of the last neurons (B, K) in the recordings ``start`` to ``stop`` of frames (B, T, 2, H, W).

    The buffers hold afterwards what the last recording left: ``words`` the residual streams, ``spikes`` and ``nibbles``
    the spikes of the populations that the program keeps, a byte or a bit each.

    Args:
        sign: the highest bit of a lane: set in currents that are summed in words, so that no lane borrows.
        ballot: where the spikes of the voters begin, and how far it is to the next step.
        resting: whether the neurons begin at rest, rather than with what ``potentials`` hold.
    """
    for recording in range(start, stop):
        read_frames(frames[recording], nibbles)
        for step in program:
            if step.kind == LINEAR:
                linear(step, look_up, table, words, potentials, current, spikes, nibbles, sign, resting)
            elif step.kind == MIX:
                mix(step, look_up, table, words, current, nibbles)
            elif step.kind == NEURONS:
                neurons(step, words, potentials, spikes, nibbles, sign, resting)
            else:
                product(step, potentials, current, spikes, nibbles, resting)
        for bit in range(votes.shape[1]):
            count = 0
            for t in range(frames.shape[1]):
                count += spikes[ballot[0] + t * ballot[1] + bit]
            votes[recording, bit] = count


@_compiled
def read_frames(frames: Array, nibbles: Array) -> None:
    """Nibbles of two pixels side by side, ON and OFF, at the place of the first: (T, H W + 1), the last one 0."""
    steps, _, height, width = frames.shape
    for t in range(steps):
        for y in range(height):
            begin = t * (height * width + 1) + y * width
            on, off, out = frames[t, 0, y], frames[t, 1, y], nibbles[begin : begin + width]
            for x in range(width - 1):
                out[x] = CHUNK * (on[x] | off[x] << 1 | on[x + 1] << 2 | off[x + 1] << 3)
            out[width - 1] = CHUNK * (on[width - 1] | off[width - 1] << 1)


@_compiled
def linear(
    step: Any, look_up: Array, table: Array, words: Array, potentials: Array, current: Array, spikes: Array,
    nibbles: Array, sign: int, resting: bool,
) -> None:  # fmt: skip
    """Add the rows that the spikes choose, to a stream where one is named, and let neurons behind fire."""
    places, chunks, rows = step.places, step.chunks, step.taps * step.run * NIBBLES * CHUNK
    starts = look_up[step.look_up : step.look_up + places * step.taps].reshape(places, step.taps)
    chosen = table[step.table : step.table + chunks * rows]
    shared = step.stream >= 0
    sums = words[step.stream :] if shared else current
    lanes = sums.view(potentials.dtype)
    silent = np.empty(step.steps, np.bool_)
    for t in range(step.steps):
        begin = step.source + t * step.source_step
        silent[t] = chunks > 1 and mostly_silent(nibbles[begin : begin + step.source_step])
    for begin in range(0, places, step.block):
        size = min(step.block, places - begin)
        state = state_of(step, potentials, begin, size, resting)
        for t in range(step.steps):
            first = t * places + begin if shared else 0
            out = sums[first * chunks * CHUNK : (first + size) * chunks * CHUNK]
            if step.fresh > 0:
                out[:] = 0
            source, reads = nibbles[step.source + t * step.source_step :], starts[begin : begin + size]
            if silent[t]:
                walk_rows(chosen, rows, source, reads, step.run, out)
            else:
                add_rows(chosen, rows, source, reads, step.run, out)
            if step.lanes > 0:
                fire(step, lanes, first * step.lanes, sign, state, spikes, nibbles, t, begin, size)


@_compiled
def mostly_silent(nibbles: Array) -> bool:
    """Whether most have no spike: then it takes less time to leave these out than to add their rows, which are zero.

    Where that begins was measured with two chunks; of one, all rows are added whatever spikes.
    """
    busy = 0
    for nibble in nibbles:
        busy += nibble != 0
    return 2 * busy < len(nibbles)


@_compiled
def add_rows(table: Array, rows: int, nibbles: Array, starts: Array, run: int, sums: Array) -> None:
    """Add to the sums of each place, words (places chunks 8), the rows that ``run`` nibbles of each tap choose.

    Args:
        table: words; of each chunk 16 rows for each nibble, ``rows`` words in all.
        nibbles: times ``CHUNK``, so that they are the distance to the row.
        starts: (places, taps).
    """
    step, out, chunks = np.uint64(rows), np.uint64(0), len(table) // rows
    for place in range(len(starts)):
        base = np.uint64(0)
        for _ in range(chunks // 2):
            two, row = read_two(sums, out, np.uint64(CHUNK)), base
            for tap in range(starts.shape[1]):
                at = np.uint64(starts[place, tap])
                for g in range(at, at + np.uint64(run)):
                    two = plus_two(two, table, row + np.uint64(nibbles[g]), step)
                    row += np.uint64(NIBBLES * CHUNK)
            write_two(sums, out, two)
            out, base = out + np.uint64(2 * CHUNK), base + np.uint64(2) * step
        for _ in range(chunks % 2):
            one, row = read_chunk(sums, out), base
            for tap in range(starts.shape[1]):
                at = np.uint64(starts[place, tap])
                for g in range(at, at + np.uint64(run)):
                    one = plus_row(one, table, row + np.uint64(nibbles[g]))
                    row += np.uint64(NIBBLES * CHUNK)
            write_chunk(sums, out, one)
            out, base = out + np.uint64(CHUNK), base + step


@_compiled
def walk_rows(table: Array, rows: int, nibbles: Array, starts: Array, run: int, sums: Array) -> None:
    """What ``add_rows`` does, but nibbles without a spike are left out: their rows are zero after the first one's."""
    step, out, chunks = np.uint64(rows), np.uint64(0), len(table) // rows
    chosen = np.empty(starts.shape[1] * run, np.uint32)
    for place in range(len(starts)):
        count, row, kept = np.uint64(0), np.uint32(0), np.uint64(1)
        for tap in range(starts.shape[1]):
            at = np.uint64(starts[place, tap])
            for g in range(at, at + np.uint64(run)):
                chosen[count] = row + np.uint32(nibbles[g])
                count += kept | np.uint64(nibbles[g] != 0)
                row += np.uint32(NIBBLES * CHUNK)
                kept = np.uint64(0)
        base = np.uint64(0)
        for _ in range(chunks // 2):
            two = read_two(sums, out, np.uint64(CHUNK))
            for i in range(count):
                two = plus_two(two, table, base + np.uint64(chosen[i]), step)
            write_two(sums, out, two)
            out, base = out + np.uint64(2 * CHUNK), base + np.uint64(2) * step
        for _ in range(chunks % 2):
            one = read_chunk(sums, out)
            for i in range(count):
                one = plus_row(one, table, base + np.uint64(chosen[i]))
            write_chunk(sums, out, one)
            out, base = out + np.uint64(CHUNK), base + step


@_compiled
def read_two(words: Array, at: int, step: int) -> Any:
    """Two chunks ``step`` words apart, in variables."""
    return read_chunk(words, at), read_chunk(words, at + step)


@_compiled
def plus_two(total: Any, table: Array, at: int, step: int) -> Any:
    """Two chunks, and a row of each one's table."""
    return plus_row(total[0], table, at), plus_row(total[1], table, at + step)


@_compiled
def write_two(words: Array, at: int, total: Any) -> None:
    """The inverse of ``read_two`` for chunks that follow on each other."""
    write_chunk(words, at, total[0])
    write_chunk(words, at + np.uint64(CHUNK), total[1])


@_compiled
def read_chunk(words: Array, at: int) -> Any:
    """The words of a chunk, in variables."""
    return (
        words[at], words[at + np.uint64(1)], words[at + np.uint64(2)], words[at + np.uint64(3)],
        words[at + np.uint64(4)], words[at + np.uint64(5)], words[at + np.uint64(6)], words[at + np.uint64(7)],
    )  # fmt: skip


@_compiled
def plus_row(total: Any, table: Array, at: int) -> Any:
    """The words ``total`` and those of a row of the table."""
    a, b, c, d, e, f, g, h = total
    i, j, k, m, n, o, p, q = read_chunk(table, at)
    return a + i, b + j, c + k, d + m, e + n, f + o, g + p, h + q


@_compiled
def write_chunk(words: Array, at: int, total: Any) -> None:
    """The inverse of ``read_chunk``."""
    words[at], words[at + np.uint64(1)], words[at + np.uint64(2)], words[at + np.uint64(3)] = total[:4]
    words[at + np.uint64(4)], words[at + np.uint64(5)], words[at + np.uint64(6)], words[at + np.uint64(7)] = total[4:]


@_compiled
def state_of(step: Any, potentials: Array, begin: int, size: int, resting: bool) -> Array:
    """The potentials of ``size`` places from ``begin`` on."""
    at = step.state + begin * step.state_place
    state = potentials[at : at + size * step.lanes]
    if resting:
        state[:] = step.shift
    return state


@_compiled
def fire(
    step: Any, lanes: Array, first: int, sign: int, state: Array, spikes: Array, nibbles: Array, t: int, begin: int,
    size: int,
) -> None:  # fmt: skip
    """Time step ``t`` of the neurons of ``size`` places from ``begin`` on; their currents lie from ``first`` on."""
    count = size * step.lanes
    at = step.kept + t * step.kept_step + begin * step.kept_place
    fired = spikes[at : at + count]
    advance(lanes[first : first + count], state, fired, step.limit, step.shift, sign)
    place = step.out + t * step.out_step + begin * (step.lanes // 4)
    pack(fired.view(np.uint32), nibbles[place : place + count // 4])


@_compiled
def advance(current: Array, potentials: Array, spikes: Array, limit: int, shift: int, sign: int) -> None:
    """``u <- ceil(u/2) + a; s = [u > limit]; u <- (1 - s) u``, u held ``shift`` higher, as ``limit`` is.

    Currents come with the bit ``sign`` turned over.
    """
    kind = potentials.dtype.type
    rest, least, turned = kind(shift), kind(limit), kind(sign)
    for i in range(len(current)):
        u = kind(potentials[i] + rest)
        u = kind(kind(kind(u >> kind(1)) + kind(u & kind(1))) + kind(current[i] ^ turned))
        fired = u > least
        spikes[i] = np.uint8(fired)
        potentials[i] = rest if fired else u


@_compiled
def pack(quads: Array, nibbles: Array) -> None:
    """Four bytes of 0 or 1 to a nibble."""
    for i in range(len(quads)):
        nibbles[i] = np.uint8(np.uint32(quads[i] * np.uint32(_PACK)) >> np.uint32(24))


@_compiled
def neurons(
    step: Any, words: Array, potentials: Array, spikes: Array, nibbles: Array, sign: int, resting: bool
) -> None:
    """Neurons on a stream that is complete."""
    lanes = words[step.stream :].view(potentials.dtype)
    for begin in range(0, step.places, step.block):
        size = min(step.block, step.places - begin)
        state = state_of(step, potentials, begin, size, resting)
        for t in range(step.steps):
            first = (t * step.places + begin) * step.lanes
            fire(step, lanes, first, sign, state, spikes, nibbles, t, begin, size)


@_compiled
def mix(step: Any, look_up: Array, table: Array, words: Array, current: Array, nibbles: Array) -> None:
    """Add a wave mixer's currents to a stream, group by group and block by block.

    The look-up holds, one after the other: where the nibbles of a block are; for each level, the first of their rows;
    where the words of a block are; for each level, where their sums are; where nibbles and words of each block begin.
    """
    levels, reads, writes, at = step.levels, step.members * step.quads, step.members * step.lift, step.look_up
    of_nibbles = look_up[at : at + (1 + levels) * reads]
    at += (1 + levels) * reads
    of_words = look_up[at : at + (1 + levels) * writes]
    at += (1 + levels) * writes
    corners = look_up[at : at + 2 * step.blocks]
    rows = step.children * step.quads * NIBBLES * CHUNK
    taken = np.empty(reads, np.uint64)
    for group in range(step.groups):
        begin = step.table + group * levels * step.chunks * rows
        chosen = table[begin : begin + levels * step.chunks * rows]
        for block in range(step.blocks):
            first = np.uint64(step.source + corners[2 * block] + group * step.quads)
            for i in range(reads):
                taken[i] = np.uint64(nibbles[first + np.uint64(of_nibbles[i])])
            inside, out = step.children * step.quads, np.uint64(0)
            for level in range(levels):
                in_table = of_nibbles[(1 + level) * reads : (2 + level) * reads]
                for begin in range(0, reads, inside):
                    for chunk in range(step.chunks):
                        base = np.uint64((level * step.chunks + chunk) * rows)
                        write_chunk(current, out, sum_rows(chosen, base, in_table, taken, begin, inside))
                        out += np.uint64(CHUNK)
                inside *= step.children
            first = np.uint64(step.stream + corners[2 * block + 1] + group * step.lift)
            for level in range(levels):
                for i in range(writes):
                    at = np.uint64((1 + level) * writes + i)
                    words[first + np.uint64(of_words[i])] += current[np.uint64(of_words[at])]


@_compiled
def sum_rows(table: Array, base: int, look_up: Array, nibbles: Array, begin: int, count: int) -> Any:
    """The sum of the rows that ``count`` nibbles choose, each of a table of its own from ``base`` on."""
    zero = table.dtype.type(0)
    total = (zero, zero, zero, zero, zero, zero, zero, zero)
    for i in range(np.uint64(begin), np.uint64(begin + count)):
        total = plus_row(total, table, base + np.uint64(look_up[i]) + nibbles[i])
    return total


@_compiled
def product(step: Any, potentials: Array, current: Array, spikes: Array, nibbles: Array, resting: bool) -> None:
    """Coincidences ``Q (K^T V)`` per head, weighed, and the neurons behind.

    Heads are the last axis of a token, and queries and keys are written twice in a row: read from channel ``-r`` on,
    channels b - r of all heads meet the values' channels b in one loop.
    """
    tokens, heads, width, part = step.places, step.heads, step.width, step.heads * step.width
    lanes = current.view(potentials.dtype)
    pairs = lanes[tokens * step.lanes : tokens * step.lanes + width * part]
    state = state_of(step, potentials, 0, tokens, resting)
    twice = np.empty(tokens * 4 * part, np.uint8)
    for t in range(step.steps):
        begin = step.source + t * step.source_step
        for token in range(tokens):
            at, to = begin + token * step.row, 4 * token * part
            twice[to : to + part] = twice[to + part : to + 2 * part] = spikes[at : at + part]
            keys = spikes[at + part : at + 2 * part]
            twice[to + 2 * part : to + 3 * part] = twice[to + 3 * part : to + 4 * part] = keys
        pairs[:] = 0
        for token in range(tokens):
            values, first = begin + token * step.row + 2 * part, (4 * token + 3) * part
            for r in range(width):
                add_products(twice, first - r * heads, spikes, values, pairs, r * part, part)
        pairs *= lanes.dtype.type(step.weight)
        for token in range(tokens):
            counts, first = token * step.lanes, (4 * token + 1) * part
            lanes[counts : counts + part] = 0
            for r in range(width):
                add_products(twice, first - r * heads, pairs, r * part, lanes, counts, part)
        fire(step, lanes, 0, 0, state, spikes, nibbles, t, 0, tokens)


@_compiled
def add_products(
    left: Array, left_first: int, right: Array, right_first: int, sums: Array, first: int, count: int
) -> None:
    """Add the products of two times ``count`` numbers to as many sums."""
    kind, i, j, k = sums.dtype.type, np.uint64(left_first), np.uint64(right_first), np.uint64(first)
    for n in range(np.uint64(count)):
        sums[k + n] += kind(kind(left[i + n]) * kind(right[j + n]))
