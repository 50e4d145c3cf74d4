"""What may be chosen of an ONNX model besides its numbers."""

from dataclasses import dataclass
from typing import Literal

from spikinghash.errors import GraphError

Runtime = Literal["any", "ncnn"]
"""``any``: whatever runs ONNX. ``ncnn``: operators that ncnn takes, floats in and out, one recording."""


@dataclass(frozen=True)
class Form:
    """The form of a model. What ncnn cannot have is refused, and what it must have is chosen."""

    int8: bool = False
    """Store the weights of an integer network as int8."""
    batch: int | None = None
    """Recordings that the model takes; None for any number."""
    counts: bool = True
    """Return the spike counts, too."""
    runtime: Runtime = "any"

    def __post_init__(self) -> None:
        """Check the choice.

        Raises:
            GraphError: no model has this form.
        """
        if self.batch is not None and self.batch < 1:
            raise GraphError(f"--batch {self.batch}: a model takes one recording or more")
        if not self.for_ncnn:
            return
        if self.batch not in (None, 1):
            raise GraphError(f"--batch {self.batch}: ncnn takes one recording: leave --batch out, or --for ncnn")
        if self.int8:
            raise GraphError("--int8: ncnn does not read such weights: leave --int8 out, or --for ncnn")

    @property
    def for_ncnn(self) -> bool:
        """Whether it is one for ncnn."""
        return self.runtime == "ncnn"

    @property
    def counted(self) -> bool:
        """Whether the model returns spike counts."""
        return self.counts and not self.for_ncnn

    @property
    def size(self) -> int | None:
        """Recordings that the model takes; None for any number."""
        return 1 if self.for_ncnn else self.batch


ANY = Form()
"""Any batch, with spike counts, weights as floats."""
