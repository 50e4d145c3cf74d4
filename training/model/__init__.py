"""The Spikinghash encoder: neurons, Spiking WaveMixer, spiking self-attention, hash layer."""
