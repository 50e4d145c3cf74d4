"""Where live events come from, one kind of source per module."""
