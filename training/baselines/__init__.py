"""Networks that Spikinghash is compared with: its artificial and quantised twins, and ResNet-18 hashing."""
