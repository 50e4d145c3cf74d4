"""ONNX models in runtimes that this project did not write: OpenVINO, MNN, IREE, tract, ncnn.

A ``*_runner`` module loads a model as its runtime does and encodes one recording after the other on one thread, in
float32: some take 16 bits where they may, which changes codes. The modules run in the environment of the
foreign simulators (``make interop-setup``); the main environment starts it through
:mod:`deploy.backends.runtime_backend`::

    python -m deploy.backends.runtimes RUNTIME MODEL.onnx X.npz Y.npz --outputs NAME,NAME
"""

RUNNERS = {
    "openvino": "openvino_runner",
    "mnn": "mnn_runner",
    "iree": "iree_runner",
    "tract": "tract_runner",
    "ncnn": "ncnn_runner",
}
"""The runtimes by name, each with the module that runs it."""
