"""What codes cost: mAP over synaptic operations, for budgets of them and for networks that are no spiking ones."""
