"""The results table: every network, code length, data set and seed, trained and tested alike."""
