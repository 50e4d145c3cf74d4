"""The vocabulary of profiles: kinds of evidence, terms that have a price, a time or a rate, ways of execution."""

from typing import Literal, get_args

Kind = Literal["metered", "measured", "fitted", "simulated", "derived", "vendor", "assumed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Kinds of evidence, strongest first: ``fitted`` to silicon, ``simulated`` before or after layout, ``derived`` by
arithmetic from published figures."""

EventTerm = Literal[
    "synop",
    "neuron_update_active",
    "neuron_update_inactive",
    "spike_out",
    "packet",
    "hop",
    "chip_crossing",
    "reset",
]
"""What a spiking network on cores is billed for."""
EVENT_TERMS: tuple[EventTerm, ...] = get_args(EventTerm)

EnergyTerm = Literal[
    EventTerm,
    "ac_int32",
    "mul_int32",
    "mac_int8",
    "ac_fp32",
    "mac_fp32",
    "and_popcount",
    "offchip_bit",
]
"""synop: one spike at one synapse. packet: one spike delivered to one core. chip_crossing: one packet over a link
between chips. reset: the state of one chip cleared between recordings. ac, mac: (multiply-)accumulate. and_popcount:
the product of two spikes, counted. offchip_bit: one bit in or out."""

TimeTerm = Literal[
    "synop",
    "neuron_update_active",
    "neuron_update_inactive",
    "spike_out",
    "packet_out",
    "packet",
    "hop",
    "barrier",
    "tick",
    "layer",
    "cycle",
]
"""packet_out: one packet sent to one core. packet: one packet received. hop: one packet carried to the next tile.
barrier: the agreement of all cores that a step is over. tick: the fixed step of a machine that runs by the clock.
layer: from a spike that enters a layer to the spike that leaves it, on machines without steps; on a processor, what a
small layer takes at least, its start included."""

PowerTerm = Literal["static", "io", "busy"]
"""static: drawn whether or not anything happens. io: of processors that feed the cores. busy: all a processor draws
while it computes, its static power included."""

RateTerm = Literal["int8", "bf16", "fp32", "memory", "instructions", "synop_core", "synop_chip"]
"""int8, bf16, fp32: operations on such numbers, a multiply-accumulate being two. memory: bytes to and from the main
memory. instructions: of compiled C on a core. synop_core, synop_chip: synaptic operations that one core or chip keeps
up with."""
COMPUTE_RATES: tuple[RateTerm, ...] = ("int8", "bf16", "fp32")
"""Number formats, smallest first: the first that a platform states is the one that it runs the network in."""

Execution = Literal["timestep_barrier", "fixed_tick", "event_async", "clocked", "roofline"]
"""How time passes. timestep_barrier: a step ends when the slowest core is done. fixed_tick: a step lasts one tick.
event_async: no steps, every event is handled as it comes. clocked: arithmetic units beside memories, so many
operations per cycle. roofline: a processor, bound by its arithmetic or by its memory."""
Platform = Literal["event_cores", "accelerator", "processor"]

TERM_PATHS = (
    *(f"energy.{term}" for term in get_args(EnergyTerm)),
    *(f"time.{term}" for term in get_args(TimeTerm)),
    *(f"power.{term}" for term in get_args(PowerTerm)),
)
"""Every term by its place in a profile."""

PLACEMENT_LIMITS = ("neurons_per_core", "synapse_bytes_per_core", "synapse_bits", "cores_per_chip")
"""Limits without which no network can be placed on cores."""
