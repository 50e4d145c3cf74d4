"""Speed, as ratios measured in one run."""

import training  # noqa: F401  # first of all: it sets how OpenMP's threads wait, which is read as torch is loaded
