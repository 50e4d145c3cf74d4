"""What is published about each platform: energies, times, powers and limits, every value with its source."""
