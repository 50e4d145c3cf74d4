"""From NIR nodes to populations of neurons and the synapses between them."""
