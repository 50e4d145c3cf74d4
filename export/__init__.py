"""From a checkpoint to files that other machines run.

``encoder``   the encoder's graph: operations, passes, lowering, certificate
``nir``       NIR files: dialects, one reader, the reference interpreter, inspection
``synaptic``  populations and delayed synapses, and what a run of them costs
``loihi``     Loihi's registers and arithmetic
``onnx``      ONNX models

The modules beside them are the commands ``python -m export.NAME``.
"""
