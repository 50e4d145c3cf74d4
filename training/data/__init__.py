"""Event recordings: reading them, making them, turning them into frames, splitting them into sets."""
