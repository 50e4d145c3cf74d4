"""``python -m export.to_onnx``: the command of ``export.onnx.to_onnx``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("export.onnx.to_onnx")
