"""What it costs to find the codes nearest to one query among N stored ones, on each kind of platform.

- Accelerator and processor: a linear scan. Every stored code is read once; per 32-bit word an exclusive or and a
  population count, per code the sum of its counts and a comparison.
- Event cores: an associative memory, as in Frady et al., "Neuromorphic nearest neighbor search using Intel's Pohoiki
  Springs", NICE 2020 (arXiv:2004.12691). One neuron per stored code; 2 K input lines, one for each value of each bit.
  A stored code has a synapse to the K lines of its own bits, so that a query raises its potential by the bits in which
  both agree, K - d at Hamming distance d. Where every hop takes a step, that is three: query, codes, answer.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from deploy.energy.accelerator import buffer_for, operations
from deploy.energy.amounts import between, exact
from deploy.energy.assessment import (
    BUSY,
    REAL_TIME,
    SPIKING,
    Assessment,
    Scenario,
    latency_refusals,
    standing,
    without_figures,
)
from deploy.energy.bill import WHOLE_NETWORK, Charge
from deploy.energy.clocked import clocked_latency
from deploy.energy.latency import Latency
from deploy.energy.model import assess
from deploy.energy.roofline import work_bill
from export.synaptic.counts import LayerCounts, NetworkCounts
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.schema import Profile
from spikinghash.errors import ConfigError

SEARCH = "search"
FOUND = 100
"""Stored codes that answer with a spike; the figures hardly depend on it."""
_WORD = 32
"""Bits of the accelerator's integer unit."""


@dataclass(frozen=True)
class ScanWork:
    """Operations of one query against N codes of K bits; a code lies in whole machine words."""

    codes: int
    bits: int
    word_bits: int

    @property
    def words(self) -> int:
        """Words read. Each takes an exclusive or, a population count, and an addition to the count before it.

        In place of the addition that a code's first word does without, its sum is compared: with the worst kept, or
        with the radius.
        """
        return self.codes * math.ceil(self.bits / self.word_bits)

    @property
    def bytes_read(self) -> int:
        """Packed codes without padding: ceil(K / 8) bytes each."""
        return self.codes * math.ceil(self.bits / 8)


def scan(codes: int, bits: int, word_bits: int = 64) -> ScanWork:
    """Work of one query against ``codes`` codes of ``bits`` bits on words of ``word_bits`` bits.

    Raises:
        ConfigError: a number is not positive.
    """
    for name, value in (("codes", codes), ("bits", bits), ("word_bits", word_bits)):
        if value < 1:
            raise ConfigError(f"{name}: {value} is too few: use 1 or more")
    return ScanWork(codes, bits, word_bits)


def assess_search(loaded: LoadedProfile, codes: int, bits: int) -> Assessment:
    """Price one search among ``codes`` stored codes of ``bits`` bits; what has no figure is refused with the reason."""
    platform = loaded.profile.meta.platform
    if platform == "event_cores":
        return _on_cores(loaded, codes, bits)
    scanned = _on_processor if platform == "processor" else _on_accelerator
    latency, rows = scanned(loaded.profile, scan(codes, bits, _WORD))
    refusals = tuple(latency_refusals({SEARCH: latency}))
    return without_figures(Assessment(loaded, None, {SEARCH: latency}, tuple(rows), (), refusals))


def scan_charges(profile: Profile, work: ScanWork) -> list[Charge]:
    """Charges of a linear scan on an accelerator.

    No exclusive or and no population count is priced anywhere. Neither takes more gates than an int32 addition: each is
    charged as one, and as nothing at the low end.
    """
    memory = buffer_for(profile, work.bytes_read)
    least, most = float(work.words), 3.0 * work.words
    return [
        Charge("memory", WHOLE_NETWORK, memory.term, memory.packed(work.bytes_read, 8)),
        Charge("operations", WHOLE_NETWORK, "energy.ac_int32", between(least, most, most)),
    ]


def associative_memory(codes: int, bits: int) -> NetworkCounts:
    """Counts of one query on the associative memory: stored codes agree with an unrelated query in half their bits."""
    one = np.ones(1)
    lines = LayerCounts("query", "query", "input", 2 * bits, 0, 0, 0, 1, bits * one, 0 * one, bits * one)
    matches = LayerCounts(
        "codes", "codes", "lif", codes, codes * bits, codes * bits, bits, 1,
        spikes=min(FOUND, codes) * one, synops=0.5 * codes * bits * one, active_updates=codes * one, lag=1,
    )  # fmt: skip
    return NetworkCounts(SEARCH, 1, 1, 1, 0, 1.0, (lines, matches), (("query", "codes"),), depth=2)


def _on_cores(loaded: LoadedProfile, codes: int, bits: int) -> Assessment:
    found = assess(loaded, associative_memory(codes, bits), ())
    scenarios = [Scenario(SEARCH, row.basis, row.bill) for row in found.scenarios if row.basis != REAL_TIME]
    latencies = {SEARCH: found.latencies[SPIKING]} if SPIKING in found.latencies else {}
    refusals = tuple(
        replace(refusal, subject=SEARCH) if refusal.subject == SPIKING else refusal for refusal in found.refusals
    )
    return Assessment(loaded, found.fit, latencies, tuple(scenarios), (), refusals)


def _on_accelerator(profile: Profile, work: ScanWork) -> tuple[Latency, list[Scenario]]:
    charges = scan_charges(profile, work)
    latency = clocked_latency(profile, operations(charges))
    rows = standing(profile, SEARCH, "", charges, latency, 1, 0.0)
    return latency, [row for row in rows if row.basis != REAL_TIME]


def _on_processor(profile: Profile, work: ScanWork) -> tuple[Latency, list[Scenario]]:
    latency, bill = work_bill(profile, exact(3.0 * work.words), exact(float(work.bytes_read)))
    return latency, [Scenario(SEARCH, BUSY, bill)] if latency.busy is not None else []
