"""A runtime of its own for integer networks on a CPU: table look-ups and integer neurons, compiled by Numba.

``width``    the narrowest arithmetic that holds all numbers
``tables``   weights as sums of rows: four spikes choose one row
``check``    whether layers fit each other
``plan``     a network as a program over flat buffers
``kernels``  the steps, compiled
``encoder``  the backend
``steps``    the same for frames that come one after the other
``files``    where the integer network is read from

What it rests on:

- **Look-ups.** The spikes of four channels are a number from 0 to 15. For each such number the sum of the four weight
  rows is kept in a table, so that a linear map adds one row per four channels, without branches, however many spike.
- **Neurons without fractions.** In ``v <- v/2 + a; s = [v > threshold]`` let u be v rounded up. Currents are whole, so
  u follows from u alone: ``u <- ceil(u/2) + a``; and with a threshold n + 2^-(T+1), v is above it exactly if u > n. So
  sixteen bits hold a potential where floating point needs T - 1 more.
- **Packed lanes.** A machine word holds the currents of four channels, each so much higher that none is negative. Sums
  of words are sums of lanes as long as every total fits its lane, whatever the partial sums do; the certificate's
  bounds say whether it does.
- **Wavelets by level.** A wave mixer is split as in ``export.encoder.haar``: a spike reaches the members of its own
  cell, and each coarser cell at once.
- **Products by nibbles.** What four keys add to a word of values is a table, from which the spikes of a query choose.
"""
