"""Encoders as C on a Cortex-M in an emulator: ``python -m benchmarks.microcontroller``.

``board``  builds a program for a board of QEMU, runs it and counts its instructions
``twin``   the int8 twin as C, by CMSIS-NN
``page``   the figures as a page of docs
"""
