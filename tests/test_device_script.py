"""The script for a machine with a GPU, where there is none."""

import subprocess
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "device.sh"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_without_a_gpu_it_says_so_in_one_line() -> None:
    done = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=250, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --device cuda: this torch sees no CUDA device: use --device cpu\n"
