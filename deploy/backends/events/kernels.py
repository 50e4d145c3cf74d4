"""The steps of the integer network, compiled by Numba: one call encodes many recordings without the interpreter.

A network is a program: a row of numbers per step, over flat buffers. Currents are held in words of 64 bits, several
lanes each: see ``width.Width``. Words and computed indices are unsigned: Numba makes signed indices count from the end
where they are negative, at a cost in every access.
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
_inlined: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")

# Sums that are kept in eight variables become two vectors: 1.7 times faster, and off by default. It orders no sum of
# floats anew, so that other kernels of this process compute what they did.
_config: Any = numba.config
_config.SLP_VECTORIZE = 1

FRAMES, LINEAR, MIX, NEURONS, PRODUCT = range(5)
"""What a step does."""
QUAD = 4
"""Inputs that choose a row together: a nibble."""
PIXELS = 3
"""Pixels that do, in the frames; each has two inputs."""
BY_QUAD, BY_PIXELS = (2**QUAD + 1) * CHUNK, (2 ** (2 * PIXELS) + 1) * CHUNK
"""Words of a chunk's table for each choice: a row more than it can choose. Were they a power of two, the rows that are
chosen most often, those of no spike, would share a set of the cache."""
SPREAD = 2 * CHUNK
"""Where the table goes on after zeros, with which sums begin: a row per nibble, its bits as lanes, last their sum."""
_PACK = 0x08102040
"""Times four bytes of 0 or 1, it leaves them as bits 3 to 6 of the topmost byte: a nibble times ``CHUNK``."""

_COLUMNS = (
    "kind",
    "steps",
    "places",  # pixels of the map
    "chunks",  # of a place's currents
    "source",  # where the choices begin that are read
    "source_step",  # and how far it is to those of the next time step
    "framed",  # whether these are choices of the frames
    "look_up",  # where its indices begin in ``look_up``
    "table",  # where its rows begin in ``table``
    "stream",  # where the residual stream begins in ``words``; -1 for none
    "fresh",  # whether the sums begin with this map
    "block",  # places that are computed at once
    # Frames.
    "row",  # choices of a row of pixels; of a product, of a token
    "margin",  # pixels left of a row and above the first
    # A linear map.
    "taps",
    "run",  # choices of a tap
    # A wave mixer.
    "levels",
    "children",
    "members",
    "blocks",
    "groups",
    "quads",  # nibbles of a group, or of a head
    "lift",  # words of a group, or of a nibble
    # A product.
    "heads",
    "weight",
    "offset",  # of every current, in all lanes of a word
    # Neurons behind any of them.
    "lanes",  # of a place; 0 for no neurons
    "limit",
    "rest",
    "state",  # where their potentials begin, and how far it is to the next place
    "state_place",
    "kept",  # where their spikes are put as bytes, and how far it is to the next time step and place
    "kept_step",
    "kept_place",
    "out",  # the same as choices
    "out_step",
)
STEP = np.dtype([(column, np.int64) for column in _COLUMNS])
"""A row of a program."""


@_compiled
def encode(
    frames: Array, program: Array, look_up: Array, table: Array, words: Array, potentials: Array, current: Array,
    spikes: Array, choices: Array, answers: Array, seen: Array, ballot: Array, votes: Array, start: int, stop: int,
    resting: bool,
) -> None:  # fmt: skip
    """Write the spikes of the last neurons (B, K) in the recordings ``start`` to ``stop`` of frames (B, T, 2, H, W).

    The buffers hold afterwards what the last recording left: ``words`` the residual streams, ``spikes`` those of the
    populations that the program keeps, ``choices`` the same as nibbles, times ``CHUNK``: where the row begins that each
    chooses.

    Args:
        answers: room for a row of words per nibble of a query.
        seen: room for the pixels of a frame, zero around them.
        ballot: where the spikes of the voters begin, and how far it is to the next step.
        resting: whether the neurons begin at rest, rather than with what ``potentials`` hold.
    """
    for recording in range(start, stop):
        for step in program:
            if step.kind == FRAMES:
                read_frames(step, frames[recording], seen, choices)
            elif step.kind == LINEAR:
                linear(step, look_up, table, words, potentials, current, spikes, choices, resting)
            elif step.kind == MIX:
                mix(step, look_up, table, words, current, choices)
            elif step.kind == NEURONS:
                neurons(step, words, potentials, spikes, choices, resting)
            else:
                product(step, table, potentials, current, spikes, choices, answers, resting)
        for bit in range(votes.shape[1]):
            count = 0
            for t in range(frames.shape[1]):
                count += spikes[ballot[0] + t * ballot[1] + bit]
            votes[recording, bit] = count


@_compiled
def read_frames(step: Any, frames: Array, seen: Array, choices: Array) -> None:
    """Choices of three pixels one above the other, ON and OFF, at the place of the first; 0 beyond the frame."""
    steps, _, height, width = frames.shape
    for t in range(steps):
        for y in range(height):
            begin = (step.margin + y) * step.row + step.margin
            on, off, pixels = frames[t, 0, y], frames[t, 1, y], seen[begin : begin + width]
            for x in range(width):
                pixels[x] = CHUNK * (on[x] | off[x] << 1)
        out = choices[step.out + t * step.out_step : step.out + (t + 1) * step.out_step]
        out[:] = seen[: len(out)]
        for further in range(1, PIXELS):
            below = seen[further * step.row :]
            for i in range(len(out)):
                out[i] |= below[i] << 2 * further


@_compiled
def linear(
    step: Any, look_up: Array, table: Array, words: Array, potentials: Array, current: Array, spikes: Array,
    choices: Array, resting: bool,
) -> None:  # fmt: skip
    """Add the rows that the spikes choose, to a stream where one is named, and let neurons behind fire."""
    places, chunks = step.places, step.chunks
    rows = step.taps * step.run * (BY_PIXELS if step.framed else BY_QUAD)
    starts = look_up[step.look_up : step.look_up + places * step.taps].reshape(places, step.taps)
    chosen = table[step.table : step.table + chunks * rows]
    shared = step.stream >= 0
    sums = words[step.stream :] if shared else current
    lanes = sums.view(potentials.dtype)
    for begin in range(0, places, step.block):
        size = min(step.block, places - begin)
        state = state_of(step, potentials, begin, size, resting)
        for t in range(step.steps):
            first = t * places + begin if shared else 0
            out = sums[first * chunks * CHUNK : (first + size) * chunks * CHUNK]
            given, onward = table[:SPREAD] if step.fresh else out, 1 - step.fresh
            source, reads = choices[step.source + t * step.source_step :], starts[begin : begin + size]
            if step.framed:
                add_rows(chosen, chunks, rows, BY_PIXELS, source, reads, step.run, 0, given, onward, out)
            else:
                add_rows(chosen, chunks, rows, BY_QUAD, source, reads, step.run, 0, given, onward, out)
            if step.lanes > 0:
                fire(step, lanes, first * step.lanes, state, spikes, choices, t, begin, size)


@_inlined
def add_rows(
    table: Array, chunks: int, rows: int, of_choice: int, choices: Array, starts: Array, run: int, back: int,
    given: Array, onward: int, sums: Array,
) -> None:  # fmt: skip
    """Give each place the sums, words (places chunks 8), of the rows that ``run`` choices of each tap choose.

    It is compiled where it is called: numbers that are known there need no register.

    Args:
        table: words; of each chunk ``of_choice`` words for each choice, ``rows`` words in all.
        starts: (places, taps).
        back: by how many words the table goes back after a tap.
        given: what the sums begin with: for each place if ``onward`` is 1, two chunks for all if it is 0.
    """
    step, out = np.uint64(rows), np.uint64(0)
    for place in range(len(starts)):
        base = np.uint64(0)
        for _ in range(chunks // 2):
            two = read_two(given, np.uint64(onward) * out, np.uint64(CHUNK))
            two = follow(plus_two, two, table, base, step, of_choice, choices, starts[place], run, back)
            write_two(sums, out, two)
            out, base = out + np.uint64(2 * CHUNK), base + np.uint64(2) * step
        for _ in range(chunks % 2):
            one = read_chunk(given, np.uint64(onward) * out)
            one = follow(plus_row, one, table, base, step, of_choice, choices, starts[place], run, back)
            write_chunk(sums, out, one)
            out, base = out + np.uint64(CHUNK), base + step


@_inlined
def follow(
    plus: _Kernel, total: Any, table: Array, row: Any, step: int, of_choice: int, choices: Array, starts: Array,
    run: int, back: int,
) -> Any:  # fmt: skip
    """``total`` and the rows of a place, from ``row`` on.

    Loops end where they would go on, for they run at least once: with a test before them LLVM makes fewer vectors.
    """
    tap = np.uint64(0)
    while True:
        at = np.uint64(starts[tap])
        end = at + np.uint64(run)
        while True:
            total = plus(total, table, row + np.uint64(choices[at]), step)
            at, row = at + np.uint64(1), row + np.uint64(of_choice)
            if at == end:
                break
        tap, row = tap + np.uint64(1), row - np.uint64(back)
        if tap == len(starts):
            break
    return total


@_compiled
def read_two(words: Array, at: int, step: int) -> Any:
    """Two chunks ``step`` words apart, in variables."""
    return read_chunk(words, at), read_chunk(words, at + step)


@_compiled
def plus_two(total: Any, table: Array, at: int, step: int) -> Any:
    """Two chunks, and a row of each one's table."""
    return plus_row(total[0], table, at, step), plus_row(total[1], table, at + step, step)


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
def plus_row(total: Any, table: Array, at: int, _step: int) -> Any:
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
        state[:] = step.rest
    return state


@_compiled
def fire(
    step: Any, lanes: Array, first: int, state: Array, spikes: Array, choices: Array, t: int, begin: int, size: int
) -> None:
    """Time step ``t`` of the neurons of ``size`` places from ``begin`` on; their currents lie from ``first`` on."""
    count = size * step.lanes
    at = step.kept + t * step.kept_step + begin * step.kept_place
    fired = spikes[at : at + count]
    advance(lanes[first : first + count], state, fired, step.limit, step.rest)
    at = step.out + t * step.out_step + begin * (step.lanes // QUAD)
    pack(fired.view(np.uint32), choices[at : at + count // QUAD])


@_compiled
def advance(current: Array, potentials: Array, spikes: Array, limit: int, rest: int) -> None:
    """``u <- ceil(u/2) + a; s = [u > limit]; u <- (1 - s) u``, all held higher: see ``width.Width``."""
    kind = potentials.dtype.type
    one, least, resting = kind(1), kind(limit), kind(rest)
    for i in range(len(current)):
        u = kind(kind(kind(potentials[i] + one) >> one) + current[i])
        fired = u > least
        spikes[i] = np.uint8(fired)
        potentials[i] = resting if fired else u


@_compiled
def pack(quads: Array, choices: Array) -> None:
    """Four bytes of 0 or 1 to a choice."""
    for i in range(len(quads)):
        choices[i] = np.uint16(np.uint32(quads[i] * np.uint32(_PACK)) >> np.uint32(24))


@_compiled
def neurons(step: Any, words: Array, potentials: Array, spikes: Array, choices: Array, resting: bool) -> None:
    """Neurons on a stream that is complete."""
    lanes = words[step.stream :].view(potentials.dtype)
    for begin in range(0, step.places, step.block):
        size = min(step.block, step.places - begin)
        state = state_of(step, potentials, begin, size, resting)
        for t in range(step.steps):
            first = (t * step.places + begin) * step.lanes
            fire(step, lanes, first, state, spikes, choices, t, begin, size)


@_compiled
def mix(step: Any, look_up: Array, table: Array, words: Array, current: Array, choices: Array) -> None:
    """Add a wave mixer's currents to a stream, group by group and level by level.

    The look-up holds where the words of each member are and, for each level, where its sum is, and where the nibbles of
    each cell are: (cells, children) on the first level, on the others (children, cells, members of a child).
    """
    members, rows = step.blocks * step.members, step.children * step.quads * BY_QUAD
    of_words = look_up[step.look_up : step.look_up + members]
    for group in range(step.groups):
        source, stream = choices[step.source + group * step.quads :], words[step.stream + group * step.lift :]
        begin, inside = step.look_up + members, 1
        for level in range(step.levels):
            of_sums = look_up[begin : begin + members]
            cells = members // inside // step.children
            parts = step.children if level else 1
            starts = look_up[begin + members : begin + 2 * members].reshape(parts, cells, members // parts // cells)
            first = step.table + (group * step.levels + level) * step.chunks * rows
            sums = current[: cells * step.chunks * CHUNK]
            for part in range(parts):
                chosen, given = table[first + part * step.quads * BY_QUAD :], sums if part else table[:SPREAD]
                onward, reads, back = min(part, 1), starts[part], step.quads * BY_QUAD if level else 0
                if step.quads == 1:
                    add_rows(chosen, step.chunks, rows, BY_QUAD, source, reads, 1, back, given, onward, sums)
                else:
                    add_rows(chosen, step.chunks, rows, BY_QUAD, source, reads, step.quads, back, given, onward, sums)
            for word in range(step.lift):
                for i in range(members):
                    at = np.uint64(of_words[i] + word)
                    stream[at] += sums[np.uint64(of_sums[i] + word)]
            begin, inside = begin + 2 * members, inside * step.children


@_compiled
def product(
    step: Any, table: Array, potentials: Array, current: Array, spikes: Array, choices: Array, answers: Array,
    resting: bool,
) -> None:  # fmt: skip
    """Coincidences ``Q (K^T V)`` per head, weighed, and the neurons behind.

    The channels of a head are whole nibbles, for values lanes of words.
    """
    tokens = step.places
    spread = table[SPREAD : SPREAD + 2**QUAD * CHUNK]
    out = current[: tokens * step.chunks * CHUNK].reshape(tokens, step.chunks * CHUNK)
    state = state_of(step, potentials, 0, tokens, resting)
    for t in range(step.steps):
        begin = step.source + t * step.source_step
        nibbles = choices[begin : begin + tokens * step.row].reshape(tokens, step.row)
        out[:] = np.uint64(step.offset)
        for head in range(step.heads):
            if tokens > QUAD:
                meet_keys(step, nibbles, head, spread, answers, out)
            else:
                meet_tokens(step, nibbles, head, spread, out)
        fire(step, current.view(potentials.dtype), 0, state, spikes, choices, t, 0, tokens)


@_compiled
def meet_keys(step: Any, nibbles: Array, head: int, spread: Array, rows: Array, out: Array) -> None:
    """``Q (K^T V)`` of a head: what four keys add to a word of values makes a table, from which a query chooses."""
    quads, one, weight = step.quads, np.uint64(1), np.uint64(step.weight)
    for word in range(quads * step.lift):
        values, lanes = nibbles[:, (2 * step.heads + head) * quads + word // step.lift], spread[word % step.lift :]
        for quad in range(head * quads, (head + 1) * quads):
            keys, queries = nibbles[:, step.heads * quads + quad], nibbles[:, quad]
            a = b = c = d = np.uint64(0)
            for token in range(len(keys)):
                key, value = np.uint64(keys[token]), lanes[np.uint64(values[token])]
                a += value * (key >> np.uint64(3) & one)
                b += value * (key >> np.uint64(4) & one)
                c += value * (key >> np.uint64(5) & one)
                d += value * (key >> np.uint64(6) & one)
            rows[0], filled = np.uint64(0), 1
            for total in (a, b, c, d):
                for row in range(filled):
                    rows[np.uint64((filled + row) * CHUNK)] = rows[np.uint64(row * CHUNK)] + weight * total
                filled *= 2
            for token in range(len(queries)):
                out[token, head * quads * step.lift + word] += rows[np.uint64(queries[token])]


@_compiled
def meet_tokens(step: Any, nibbles: Array, head: int, spread: Array, out: Array) -> None:
    """``(Q K^T) V`` of a head: fewer sums where tokens are few."""
    quads, heads = np.uint64(step.quads), np.uint64(step.heads)
    first, last, lift = np.uint64(head) * quads, np.uint64(len(nibbles)), np.uint64(step.lift)
    for i in range(last):
        for j in range(last):
            common = np.uint64(0)
            for quad in range(first, first + quads):
                both = nibbles[i, quad] & nibbles[j, heads * quads + quad]
                common += spread[np.uint64(both) + np.uint64(CHUNK - 1)]
            common *= np.uint64(step.weight)
            for quad in range(first, first + quads):
                value = np.uint64(nibbles[j, np.uint64(2) * heads * quads + quad])
                for part in range(lift):
                    out[i, quad * lift + part] += common * spread[value + part]
