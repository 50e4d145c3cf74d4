"""Events to frames to Spikinghash to checkpoint."""
