"""Hash codes of events while they come: sources, windows, and a thread between them and the encoder."""
