"""Numbers as readers see them: two significant figures, SI prefixes, bands."""

import math
from collections.abc import Sequence

from hardware_profiles.schema import Profile

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


def two_figures(value: float) -> str:
    """``value`` with two significant figures and without an exponent: 0.0042, 4.2, 420, 42,000."""
    if value == 0:
        return "0"
    decimals = 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    decimals = 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, decimals)}f}"


def si(value: float, unit: str) -> str:
    """``value`` with two significant figures, an SI prefix and ``unit``: ``si(5.12e-3, "J") == "5.1 mJ"``."""
    scaled, prefix = _scale(value)
    return f"{two_figures(scaled)} {prefix}{unit}"


def band(corners: Sequence[float], unit: str) -> str:
    """Low to high with one unit: ``4.8 to 6.0 mJ``; a single value where the ends read alike."""
    low, high = corners[0], corners[-1]
    scaled, prefix = _scale(high)
    factor = scaled / high if high else 1.0
    ends = [two_figures(low * factor), two_figures(scaled)]
    return f"{ends[0]} {prefix}{unit}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} {prefix}{unit}"


def span(corners: Sequence[float]) -> str:
    """Low to high without a unit or a prefix: ``0.32 to 0.71``."""
    low, high = two_figures(corners[0]), two_figures(corners[-1])
    return low if low == high else f"{low} to {high}"


def _scale(value: float) -> tuple[float, str]:
    if value == 0:
        return 0.0, ""
    shown = float(f"{value:.1e}")  # rounded first, so that 999.9 m becomes 1.0 and no 1,000 m
    exponent = 3 * math.floor(math.log10(abs(shown)) / 3)
    exponent = max(min(_PREFIXES), min(max(_PREFIXES), exponent))
    return value / 10.0**exponent, _PREFIXES[exponent]


_TERMS = {
    "energy.synop": "synaptic operation",
    "energy.neuron_update_active": "neuron update, active",
    "energy.neuron_update_inactive": "neuron update, inactive",
    "energy.spike_out": "spike generated",
    "energy.packet": "spike delivered to a core",
    "energy.hop": "hop between tiles",
    "energy.chip_crossing": "spike crossing to another chip",
    "energy.reset": "reset of a chip",
    "energy.ac_int32": "int32 addition",
    "energy.mul_int32": "int32 multiplication",
    "energy.mac_int8": "int8 multiply-accumulate",
    "energy.ac_fp32": "fp32 addition",
    "energy.mac_fp32": "fp32 multiply-accumulate",
    "energy.and_popcount": "product of two spikes",
    "energy.offchip_bit": "bit of input",
    "power.static": "static power",
    "power.io": "power of the embedded I/O processors",
    "power.busy": "power while computing",
    "time.memory": "waiting for the memory",
    "utilisation": "share of the peak rate that is reached",
}


def term_name(profile: Profile, term: str) -> str:
    """What a term of a bill is called: ``energy.hop``, ``memory.sram_8kb``, ``time.synop``, ``utilisation``."""
    section, _, name = term.partition(".")
    if section == "memory":
        level = profile.memory[name]
        size = f"{level.capacity_kb:g} KB" if level.capacity_kb else "unbounded"
        return f"{level.word_bits}-bit access to {name.partition('_')[0].upper()}, {size}"
    return _TERMS.get(term) or f"{section} of {name.replace('_', ' ')}"
