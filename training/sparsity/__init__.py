"""Training for cost: a budget of synaptic operations, pruned and coarse weights, and a dense teacher."""
