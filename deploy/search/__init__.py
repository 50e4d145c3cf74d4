"""Search of hash codes: the index, bulk encoding, the commands, and the pages that show what was found."""
