"""The script for a machine with a GPU, where there is none."""

import re
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


def test_all_parts_run_on_the_cpu(tmp_path: Path) -> None:
    """Both steps are one computation there, and so are both runs of the exported model."""
    config = tmp_path / "small.toml"
    config.write_text(
        '[encoder]\ntime_steps = 4\nsize = 16\nchannels = [4, 8]\nblocks = [1, 1]\nmixers = ["swm", "ssa"]\nbits = 8\n'
        "levels = [1, 0]\nchannels_per_group = 2\nheads = [0, 2]\n[train]\nbatch_size = 4\n"
    )
    options = ("--device", "cpu", "--config", config, "--recordings", "8", "--repeats", "1")
    done = subprocess.run([SCRIPT, *options], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    (one, exact, _), (other, *_) = re.findall(r"step on .*: loss (\S+) \((\S+) in .*gradients (\S+) apart", done.stdout)
    assert float(one) == pytest.approx(float(exact), rel=1e-4)
    assert one == other
    assert "\nepoch of 8 recordings on cpu: " in done.stdout
    assert "all 64 codes are those of the CPU" in done.stdout
