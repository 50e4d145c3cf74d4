"""Checkpoint to NIR and ONNX, and the checks of what was written."""
