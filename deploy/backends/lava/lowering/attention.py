"""Marked attentions: products of two signals, which Loihi 2's programmable neurons can form."""

from deploy.backends.lava.network import Product
from export.nir.marked_attention import MarkedAttention


def to_product(name: str, attention: MarkedAttention) -> Product:
    """The product that stands for a marked subgraph; its largest count is that of spikes everywhere."""
    channels, height, width = attention.shape
    return Product(name, attention, largest=channels // attention.heads * height * width)
