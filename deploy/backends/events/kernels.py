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
WALKED = 12
"""Nibbles of a place from which on those without a spike are left out. Of fewer it is worth more to know how many rows
are added than to add fewer of them."""
NIBBLES = 16
"""Rows of a table: as many as four spikes have combinations."""
_PACK = 0x01020408
"""Times four bytes of 0 or 1, it leaves them as four bits in the topmost byte."""

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
    """Bits of two pixels side by side, ON and OFF, at the place of the first: (T, H W + 1), the last one 0."""
    steps, _, height, width = frames.shape
    for t in range(steps):
        for y in range(height):
            begin = t * (height * width + 1) + y * width
            on, off, out = frames[t, 0, y], frames[t, 1, y], nibbles[begin : begin + width]
            for x in range(width - 1):
                out[x] = on[x] | off[x] << 1 | on[x + 1] << 2 | off[x + 1] << 3
            out[width - 1] = on[width - 1] | off[width - 1] << 1


@_compiled
def linear(
    step: Any, look_up: Array, table: Array, words: Array, potentials: Array, current: Array, spikes: Array,
    nibbles: Array, sign: int, resting: bool,
) -> None:  # fmt: skip
    """Add the rows that the spikes choose, to a stream where one is named, and let neurons behind fire."""
    places, chunks, count = step.places, step.chunks, step.places * step.taps
    starts = look_up[step.look_up : step.look_up + count].reshape(places, step.taps)
    rows = NIBBLES * step.taps * step.run
    chosen = table[step.table : step.table + rows * chunks * CHUNK].reshape(rows, chunks, CHUNK)
    shared = step.stream >= 0
    sums = words[step.stream :] if shared else current
    grid, lanes = sums.reshape(-1, CHUNK), sums.view(potentials.dtype)
    for begin in range(0, places, step.block):
        size = min(step.block, places - begin)
        state = state_of(step, potentials, begin, size, resting)
        for t in range(step.steps):
            first = t * places + begin if shared else 0
            if step.fresh > 0:
                grid[first * chunks : (first + size) * chunks] = 0
            source = step.source + t * step.source_step
            if step.taps * step.run < WALKED:
                add_rows(chosen, nibbles, source, starts, begin, size, step.run, grid, first * chunks)
            else:
                walk_rows(chosen, nibbles, source, starts, begin, size, step.run, grid, first * chunks)
            if step.lanes > 0:
                fire(step, lanes, first * step.lanes, sign, state, spikes, nibbles, t, begin, size)


@_compiled
def add_rows(
    table: Array, nibbles: Array, source: int, starts: Array, begin: int, size: int, run: int, sums: Array, first: int
) -> None:
    """Add to the sums of ``size`` places from ``begin`` on the rows that ``run`` nibbles of each tap choose.

    Each nibble has 16 rows of its own; sums lie from row ``first`` on.
    """
    out = np.uint64(first)
    for place in range(begin, begin + size):
        for chunk in range(table.shape[1]):
            total, base = read_chunk(sums, out), np.uint64(0)
            for tap in range(starts.shape[1]):
                at = np.uint64(source + starts[place, tap])
                for g in range(at, at + np.uint64(run)):
                    total = plus_row(total, table, base + nibbles[g], chunk)
                    base += np.uint64(NIBBLES)
            write_chunk(sums, out, total)
            out += np.uint64(1)


@_compiled
def walk_rows(
    table: Array, nibbles: Array, source: int, starts: Array, begin: int, size: int, run: int, sums: Array, first: int
) -> None:
    """What ``add_rows`` does, but nibbles without a spike are left out: their rows are zero after the first one's."""
    chosen, out = np.empty(starts.shape[1] * run, np.uint32), np.uint64(first)
    for place in range(begin, begin + size):
        count, base, kept = np.uint64(0), np.uint64(0), np.uint64(1)
        for tap in range(starts.shape[1]):
            at = np.uint64(source + starts[place, tap])
            for g in range(at, at + np.uint64(run)):
                chosen[count] = base + nibbles[g]
                count += kept | np.uint64(nibbles[g] != 0)
                base += np.uint64(NIBBLES)
                kept = np.uint64(0)
        for chunk in range(table.shape[1]):
            total = read_chunk(sums, out)
            for i in range(count):
                total = plus_row(total, table, np.uint64(chosen[i]), chunk)
            write_chunk(sums, out, total)
            out += np.uint64(1)


@_compiled
def read_chunk(sums: Array, row: int) -> Any:
    """The words of a chunk, in variables."""
    return (
        sums[row, 0], sums[row, 1], sums[row, 2], sums[row, 3], sums[row, 4], sums[row, 5], sums[row, 6], sums[row, 7],
    )  # fmt: skip


@_compiled
def plus_row(total: Any, table: Array, row: int, chunk: int) -> Any:
    """The words ``total`` and those of a row of the table."""
    a, b, c, d, e, f, g, h = total
    return (
        a + table[row, chunk, 0], b + table[row, chunk, 1], c + table[row, chunk, 2], d + table[row, chunk, 3],
        e + table[row, chunk, 4], f + table[row, chunk, 5], g + table[row, chunk, 6], h + table[row, chunk, 7],
    )  # fmt: skip


@_compiled
def write_chunk(sums: Array, row: int, total: Any) -> None:
    """The inverse of ``read_chunk``."""
    sums[row, 0], sums[row, 1], sums[row, 2], sums[row, 3] = total[:4]
    sums[row, 4], sums[row, 5], sums[row, 6], sums[row, 7] = total[4:]


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
    """Four bytes of 0 or 1 to four bits."""
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
    of_nibbles = look_up[at : at + (1 + levels) * reads].reshape(1 + levels, reads)
    at += (1 + levels) * reads
    of_words = look_up[at : at + (1 + levels) * writes].reshape(1 + levels, writes)
    at += (1 + levels) * writes
    corners = look_up[at : at + 2 * step.blocks].reshape(step.blocks, 2)
    rows = step.children * step.quads * NIBBLES
    count = step.groups * levels * rows * step.chunks * CHUNK
    chosen = table[step.table : step.table + count].reshape(step.groups * levels * rows, step.chunks, CHUNK)
    cells = step.members // step.children
    grid = current.reshape(-1, CHUNK)
    taken = np.empty(reads, np.uint8)
    for group in range(step.groups):
        for block in range(step.blocks):
            first = np.uint64(step.source + corners[block, 0] + group * step.quads)
            for i in range(reads):
                taken[i] = nibbles[first + np.uint64(of_nibbles[0, i])]
            inside = step.children * step.quads
            for level in range(levels):
                row = (group * levels + level) * rows
                add_cells(chosen, row, of_nibbles, level, taken, inside, grid, level * cells * step.chunks)
                inside *= step.children
            first = np.uint64(step.stream + corners[block, 1] + group * step.lift)
            for level in range(levels):
                for i in range(writes):
                    words[first + np.uint64(of_words[0, i])] += current[np.uint64(of_words[1 + level, i])]


@_compiled
def add_cells(
    table: Array, first: int, look_up: Array, level: int, nibbles: Array, inside: int, sums: Array, out: int
) -> None:
    """Write, for each cell of a level, what its ``inside`` nibbles cause in its children."""
    row_out = np.uint64(out)
    for begin in range(0, len(nibbles), inside):
        for chunk in range(table.shape[1]):
            sums[row_out] = 0
            total = read_chunk(sums, row_out)
            for i in range(np.uint64(begin), np.uint64(begin + inside)):
                total = plus_row(total, table, np.uint64(first + look_up[1 + level, i]) + nibbles[i], chunk)
            write_chunk(sums, row_out, total)
            row_out += np.uint64(1)


@_compiled
def product(step: Any, potentials: Array, current: Array, spikes: Array, nibbles: Array, resting: bool) -> None:
    """Coincidences ``Q (K^T V)`` per head, weighed, and the neurons behind; heads are the last axis of a token."""
    tokens, heads, width, row = step.places, step.heads, step.width, step.lanes
    lanes, part = current.view(potentials.dtype), step.heads * step.width
    counts = lanes[: tokens * row].reshape(tokens, row)
    pairs = lanes[tokens * row : tokens * row + part * width].reshape(width, part)
    state = state_of(step, potentials, 0, tokens, resting)
    for t in range(step.steps):
        begin = step.source + t * step.source_step
        qkv = spikes[begin : begin + tokens * step.row].reshape(tokens, step.row)
        counts[:] = 0
        if tokens > width:
            pairs[:] = 0
            count_pairs(qkv, heads, width, pairs)
            count_by_channel(qkv, heads, width, step.weight, pairs, counts)
        else:
            count_by_token(qkv, heads, width, step.weight, counts)
        fire(step, lanes, 0, 0, state, spikes, nibbles, t, 0, tokens)


@_compiled
def count_pairs(qkv: Array, heads: int, width: int, pairs: Array) -> None:
    """K^T V: tokens at which channel a of the keys and channel b of the values spike together, [a, (b, head)]."""
    part = heads * width
    for token in range(len(qkv)):
        for a in range(width):
            for b in range(width):
                for h in range(heads):
                    both = qkv[token, part + a * heads + h] & qkv[token, 2 * part + b * heads + h]
                    pairs[a, b * heads + h] += both


@_compiled
def count_by_channel(qkv: Array, heads: int, width: int, weight: int, pairs: Array, counts: Array) -> None:
    """Q (K^T V)."""
    for token in range(len(qkv)):
        for a in range(width):
            for b in range(width):
                for h in range(heads):
                    counts[token, b * heads + h] += qkv[token, a * heads + h] * pairs[a, b * heads + h] * weight


@_compiled
def count_by_token(qkv: Array, heads: int, width: int, weight: int, counts: Array) -> None:
    """(Q K^T) V."""
    part = heads * width
    for i in range(len(qkv)):
        for j in range(len(qkv)):
            for h in range(heads):
                shared = 0
                for a in range(width):
                    shared += qkv[i, a * heads + h] & qkv[j, part + a * heads + h]
                if shared > 0:
                    for b in range(width):
                        counts[i, b * heads + h] += shared * qkv[j, 2 * part + b * heads + h] * weight
