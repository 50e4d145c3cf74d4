"""What all parts share: the exception tree, the command-line frame and atomic files."""
