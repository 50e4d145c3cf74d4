"""Loihi's registers: neurons and synapses in the fixed-point arithmetic of Lava 0.10's bit-accurate models.

A population is carried on a grid of ``2^-fraction``: its weights and thresholds are whole multiples of it, and its
potentials have 6 binary digits more, because currents and thresholds are shifted to the left by 6.

- **Decay.** ``dv = round(4096 dt/tau)``; the gain of a neuron follows the rounded time constant. dv = 4096, a neuron
  without memory, is 4095 with the chip's one-bit offset. Currents decay by ``du + 1``: du = 4095 leaves no memory.
- **Weights.** Lava clips weights of mixed sign to [-256, 254] and floors them to even numbers: a mantissa m in
  [-128, 127] is stored as 2 m and shifted by ``weight_exp``. Weights that are whole numbers on a grid no finer than
  ``FINEST_GRID`` stay as they are; those wider than 8 bits are split into two synapses with different exponents.
  Any other weights are rounded to 8 bits per projection.
- **Biases** are synapses of a source that spikes in every step; where currents have a memory, ``bias_exp`` is 6.
- **Thresholds** are rounded down: where all potentials are whole numbers, ``v > theta`` and ``v > floor(theta)`` agree.
- **Overflow.** Currents wrap and are never let near it: the grid is the finest at which no input can overflow. A
  population of whole numbers that has no such grid is refused. One that is rounded anyway keeps 8-bit weights rather
  than room for the worst inhibition: potentials saturate at -(2^23 - 1), here as on the chip.

``arithmetic`` steps neurons, ``registers`` finds a population's grid and ``bounds`` its worst cases. ``network`` puts
lowered graphs onto registers and ``emulator`` runs them step by step. ``executor`` gives the encoder that is not
lowered the same neurons on the same grids, for ``drift``. Others import ``network``, ``registers``, ``emulator`` and
``drift``; what Lava's environment imports needs numpy and scipy alone.

Sources: ``lava.proc.lif.models.PyLifModelBitAcc``, ``lava.proc.dense.models``, ``lava.utils.weightutils`` (lava-nc
0.10.0); Davies et al. 2018, "Loihi: A Neuromorphic Manycore Processor with On-Chip Learning", doi
10.1109/MM.2018.112130359.
"""
