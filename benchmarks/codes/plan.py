"""Which hash layers are trained, and what for."""

from dataclasses import dataclass

from benchmarks.results.plan import SEEDS, DatasetName
from training.loss import Within

COMMITTED, PRESENT, NEW, VOTED = "committed", "present", "new", "vote"
RECIPES: dict[str, Within] = {
    PRESENT: Within(),
    VOTED: Within(),
    NEW: Within(similarity=0.85, instance=0.5, decorrelate=4.0),
    "similarity 0.9": Within(similarity=0.9),
    "similarity 0.9, instance 0.5": Within(similarity=0.9, instance=0.5),
    "similarity 0.9, instance 0.5, decorrelate 1": Within(similarity=0.9, instance=0.5, decorrelate=1.0),
    "similarity 0.8, instance 0.5, decorrelate 4": Within(similarity=0.8, instance=0.5, decorrelate=4.0),
}
"""What is asked of codes within a class."""
COMPARED = (COMMITTED, PRESENT, NEW)
"""The committed hash layer as it is, and what it becomes."""
BITS = (32, 64, 128)
VOTES = range(1, 9)
MAJORITY = 5
"""Of 8 steps, the vote of the committed encoders."""
STEPS, VOTED_STEPS = 1500, 500
"""Of a training; of one that only has to get used to another vote."""


@dataclass(frozen=True)
class Job:
    """One hash layer."""

    dataset: DatasetName
    recipe: str
    bits: int = BITS[0]
    vote: int = MAJORITY
    seed: int = 0

    @property
    def key(self) -> str:
        """Name of its file."""
        words = self.recipe.replace(", ", "-").replace(" ", "")
        return f"{self.dataset}-{words}-{self.bits}-v{self.vote}-s{self.seed}"

    @property
    def chosen(self) -> bool:
        """Whether its test queries are asked: others are attempts, of which validation queries tell enough."""
        return self.recipe in COMPARED and self.vote == MAJORITY

    @property
    def steps(self) -> int:
        """Of its training."""
        return VOTED_STEPS if self.recipe == VOTED else STEPS


def planned(dataset: DatasetName) -> list[Job]:
    """All jobs of a data set, those that matter most first; votes and attempts are tried on N-MNIST."""
    jobs = [Job(dataset, recipe, seed=seed) for seed in SEEDS for recipe in (PRESENT, NEW)]
    if dataset == "nmnist":
        jobs += [Job(dataset, recipe, vote=vote) for vote in VOTES for recipe in (VOTED, COMMITTED)]
    else:
        jobs.append(Job(dataset, COMMITTED))
    jobs += [Job(dataset, recipe, bits) for bits in BITS[1:] for recipe in (PRESENT, NEW)]
    if dataset == "nmnist":
        jobs += [Job(dataset, recipe) for recipe in RECIPES if recipe not in (PRESENT, NEW, VOTED)]
    return jobs
