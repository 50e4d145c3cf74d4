"""The lowered graph written with the nodes of NIR, one dialect per file."""
