"""``python -m export.to_onnx``: the command of ``export.onnx.to_onnx``."""

from export.onnx.to_onnx import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
