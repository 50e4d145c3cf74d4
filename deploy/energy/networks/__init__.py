"""Networks as the energy model sees them: what the form that runs on a platform has to do for one code."""
