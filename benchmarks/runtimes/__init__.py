"""The committed encoders in every runtime for ONNX models: ``python -m benchmarks.runtimes``.

``page``  the figures as a page of docs
"""
