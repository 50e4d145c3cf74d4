"""``python -m benchmarks.side_by_side.cold MODEL BACKEND FRAMES``: a process that loads one encoder and nothing else.

Prints the CPU seconds from its start to the first code, and its peak memory in MiB after a batch. ``twin`` is a
conventional network in ONNX Runtime.
"""

import re
import sys
import time
from pathlib import Path


def main(model: str, backend: str, recordings: str) -> None:
    """Encode one recording, then all."""
    import numpy as np

    frames = np.load(recordings)
    if backend == "twin":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session, frames = onnxruntime.InferenceSession(model, options), frames.astype(np.float32)

        def encode(part: np.ndarray) -> None:
            for one in part:
                session.run(None, {session.get_inputs()[0].name: one[None]})
    else:
        from deploy.backends.encoders import load_encoder

        encode = load_encoder(Path(model), backend, threads=1).encode  # type: ignore[assignment]
    encode(frames[:1])
    seconds = time.process_time()
    encode(frames)
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    print(seconds, int(peak[1]) / 1024 if peak else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
