"""ONNX models of the encoder: ``writer`` writes the graph, ``int8`` packs its weights, ``to_onnx`` checks the file.

Others import ``to_onnx`` and ``counting``, which says what a graph computes.
"""
