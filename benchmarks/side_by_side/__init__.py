"""What a recording costs in all that encodes here: the tables of docs/speed.md."""
