"""The integer network as C99 for a microcontroller: static memory, whole numbers, no library.

``packing``  weights and biases in words of 32 bits
``memory``   which buffers share memory
``writer``   the layers as calls with their tables
``render``   the files, by the templates beside it
``check``    the files compiled on this machine and compared with the network
``to_c``     the command

What it rests on:

- **Spikes** are bits, and a map walks those that are set: each adds its row of weights to sixteen channels at once.
- **Two lanes.** A word holds the currents of two channels, each raised so that none borrows from the other. Sums of
  words are then sums of lanes, whatever the partial sums do; the certificate says whether they fit. Where they do not,
  a stream has one channel per word.
- **Neurons without fractions.** With u the potential rounded up, ``u <- ceil(u/2) + a``: currents are whole numbers, so
  that u follows from u alone. Held negated, m = -u, that is ``m <- (m >> 1) - a``: one shift and one addition for both
  lanes, which are raised so that bit 15 is clear exactly where a neuron spikes.
"""
