"""Hash layers trained on the features of an encoder are the deployed network's, and the page shows their figures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import benchmarks.codes.plan as plan
from benchmarks.codes.figures import Searched, figures
from benchmarks.codes.layers import VIEWS, Features, codes_of, features_of, trained
from benchmarks.codes.page import markdown
from benchmarks.codes.plan import COMMITTED, COMPARED, NEW, PRESENT, RECIPES, Job, planned
from deploy.search.thumbnails import query_thumbnails
from export.encoder.network import build_network
from tests.networks import SMALL, bars, calibrated
from training.checkpoint import Checkpoint, load_checkpoint
from training.config import Config, load_config
from training.data.frames import Dataset
from training.data.splits import Split, split
from training.loss import Within
from training.quantised import choose_grids, fold, plain_weights, put_on_grids

DOCS = Path(__file__).parents[1] / "docs"


def test_all_is_planned_once_and_test_queries_are_asked_for_the_two_recipes_alone() -> None:
    jobs = [*planned("digits"), *planned("nmnist")]
    assert len({job.key for job in jobs}) == len(set(jobs)) == len(jobs)
    assert {job.recipe for job in jobs if job.chosen} == set(COMPARED)
    assert {job.recipe for job in jobs} == {*RECIPES, COMMITTED}
    assert {job.vote for job in jobs if job.dataset == "nmnist"} == set(range(1, 9))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """An untrained encoder on grids."""
    model = calibrated(SMALL)
    fold(model)
    put_on_grids(model, choose_grids(model))
    return Checkpoint(Config(encoder=SMALL), plain_weights(model), 1, {}, grids=model.grids)


@pytest.fixture(scope="module")
def recordings() -> tuple[Dataset, Split]:
    dataset = bars(60)
    return dataset, split(dataset.labels)


@pytest.fixture(scope="module")
def features(
    checkpoint: Checkpoint, recordings: tuple[Dataset, Split], tmp_path_factory: pytest.TempPathFactory
) -> Features:
    kept = tmp_path_factory.mktemp("features") / "bars.npz"
    made = features_of(checkpoint, *recordings, kept)
    again = features_of(checkpoint, *recordings, kept)
    assert all(torch.equal(getattr(made, name), getattr(again, name)) for name in ("plain", "copies", "views"))
    assert made.views.shape[:3] == (VIEWS, SMALL.time_steps, len(recordings[1].training))
    return made


@pytest.mark.parametrize(("recipe", "bits", "vote"), [(COMMITTED, 8, 3), (PRESENT, 8, 3), (NEW, 16, 2)])
def test_a_hash_layer_is_that_of_the_integer_network(
    recipe: str,
    bits: int,
    vote: int,
    checkpoint: Checkpoint,
    features: Features,
    recordings: tuple[Dataset, Split],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "STEPS", 60)
    dataset, sets = recordings
    labels = torch.from_numpy(dataset.labels[sets.training])
    model = trained(Job("nmnist", recipe, bits, vote), checkpoint, features, labels)
    codes = codes_of(model, features.plain)
    assert codes.shape == (60, bits // 8)
    assert len(np.unique(codes, axis=0)) > 2
    assert np.array_equal(codes, build_network(model).executor().encode(dataset.frames))
    stages = {name: value for name, value in checkpoint.weights.items() if name.startswith("stages")}
    assert all(torch.equal(plain_weights(model)[name], value) for name, value in stages.items())


def test_test_queries_of_an_attempt_are_not_asked(recordings: tuple[Dataset, Split]) -> None:
    dataset, sets = recordings
    searched = Searched.of(dataset, sets)
    codes = np.random.default_rng(0).integers(0, 256, (60, 4), dtype=np.uint8)
    queries = np.concatenate([sets.validation, sets.test])
    attempt = next(recipe for recipe in RECIPES if recipe not in COMPARED)
    assert set(figures(Job("nmnist", attempt), searched, codes, codes[queries])) == {"all", "validation"}
    found = figures(Job("nmnist", NEW), searched, codes, codes[queries])
    assert found["all"]["distinct"] == found["all"]["recordings"] == 60
    assert found["test"]["codes"] == [1.0, 1.0]  # the copies have the codes of their originals, each its own
    assert found["test"]["class"] == [1.0, 1.0]
    alike = figures(Job("nmnist", NEW), searched, codes * 0, codes[queries] * 0)
    assert alike["all"]["entropy"] == 0
    assert alike["validation"]["codes"] == pytest.approx([1 / 60, 10 / 60])
    # Where all codes are one, thumbnails decide, whichever is looked for.
    assert alike["test"]["class"] == alike["test"]["recording"]
    first = query_thumbnails(dataset.frames[0])
    assert np.array_equal(first[0], searched.thumbnails[0])


def test_the_page_is_written_from_what_was_measured() -> None:
    page = (DOCS / "codes.md").read_text()
    (date, hardware) = re.search(r"on ([\d-]+); (.+)\.", page).groups()  # type: ignore[union-attr]
    assert page == markdown(json.loads((DOCS / "codes.json").read_text()), date, hardware)


def test_the_config_of_the_whole_encoder_asks_what_the_page_says() -> None:
    config = load_config(DOCS.parent / "configs" / "nmnist-within.toml")
    asked = config.train
    assert Within(asked.class_similarity, asked.instance, asked.decorrelate) == RECIPES[NEW]
    assert asked.start is not None
    assert load_checkpoint(DOCS.parent / asked.start).config.encoder == config.encoder
