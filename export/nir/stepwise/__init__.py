"""A NIR graph step by step: what the reference interpreter and the Lava lowering must agree on."""
