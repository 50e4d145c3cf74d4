"""The data set that a config names, split."""

from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.config import Config, DataConfig, EncoderConfig
from training.data.facts import DataFacts, fill_of, quantiles
from training.data.frames import Dataset, load_dataset
from training.data.overlap import same_images
from training.data.splits import Split, split
from training.data.windows import Windows

Mask = NDArray[np.bool_]


def load_data(config: Config) -> tuple[Dataset, Split]:
    """Frames in the encoder's sizes, and the split that training and evaluation share.

    Recordings of ``digits`` that show the image of an N-MNIST query are in no set: the network must not have seen it.

    Raises:
        RecordingError: a data set is missing or cannot be used, or a class has nothing to train on or to ask for.
    """
    data = config.data
    dataset = _load(data, config.encoder)
    if data.test is not None:
        dataset = _with_test(dataset, config)
    elif data.group == "folder":
        dataset = replace(dataset, test=_folders_of_one_name(dataset))
    windows = windows_of(data)
    overlap = 0 if windows is None else windows.overlap
    sets = split(dataset.labels, official=dataset.test, files=dataset.files, overlap=overlap, classes=dataset.classes)
    for name in data.also:
        extra = _load(DataConfig(name=name), config.encoder)
        allowed = np.ones(len(extra), bool)
        if data.name == "nmnist":
            queries = [dataset.ids[index] for index in np.concatenate([sets.validation, sets.test])]
            allowed[list(same_images(dataset.ids, queries))] = False
        sets = replace(sets, extra=np.concatenate([sets.extra, np.flatnonzero(allowed) + len(dataset)]))
        dataset = joined(dataset, extra)
    return dataset, sets


def windows_of(data: DataConfig) -> Windows | None:
    """How recordings are cut."""
    return Windows.of_ms(data.window_ms, data.hop_ms)


def facts_of(data: DataConfig, dataset: Dataset, sets: Split) -> DataFacts:
    """What a network that is trained on ``sets`` keeps of them."""
    windows, training = windows_of(data), sets.database
    spans = None if dataset.windows is None else dataset.windows[training, 2] / 1e6
    return DataFacts(
        classes=dataset.classes,
        window_us=None if windows is None else windows.length,
        hop_us=None if windows is None else windows.hop,
        sensor=dataset.sensor,
        crop=data.crop,
        fill=quantiles(fill_of(dataset.frames)[training]),
        seconds=None if spans is None or not spans.any() else quantiles(spans),
    )


def _load(data: DataConfig, encoder: EncoderConfig) -> Dataset:
    return load_dataset(
        data.name,
        time_steps=encoder.time_steps,
        size=encoder.size,
        root=data.root,
        sensor=data.sensor,
        windows=windows_of(data),
        stream=data.stream,
        sort=data.sort,
        crop=data.crop,
        skip=True,
    )


def joined(first: Dataset, second: Dataset) -> Dataset:
    """Both, the second behind the first, with the classes of the first."""
    windows = None
    if first.windows is not None and second.windows is not None:
        windows = np.concatenate([first.windows, second.windows])
    return replace(
        first,
        frames=np.concatenate([first.frames, second.frames]),
        labels=np.concatenate([first.labels, second.labels]),
        ids=first.ids + second.ids,
        of_file=(*first.files, *second.files),
        windows=windows,
        test=None if first.test is None else np.concatenate([first.test, np.zeros(len(second), bool)]),
        skipped=first.skipped + second.skipped,
    )


def _with_test(dataset: Dataset, config: Config) -> Dataset:
    """``dataset`` with the test set that the config names, from inside it or from another folder.

    Raises:
        RecordingError: there is nothing of it, or nothing else, or it is of another sensor.
    """
    data, asked = config.data, str(config.data.test)
    root = Path(data.root or ".").resolve()
    outside, absolute = Path(asked).resolve(), Path(asked).is_absolute()
    if not absolute or outside.is_relative_to(root):
        inside = outside.relative_to(root).as_posix() if absolute else asked.rstrip("/")
        chosen = np.array([fnmatchcase(file, inside) or file.startswith(f"{inside}/") for file in dataset.files])
        if not chosen.any() or chosen.all():
            raise RecordingError(
                f"data.test {asked!r}: {chosen.sum()} of {len(chosen)} windows match; paths below {root} are as "
                f"{dataset.files[0]!r}"
            )
        return replace(dataset, test=chosen)
    return _beside(dataset, _load(data.model_copy(update={"root": outside}), config.encoder), asked)


def _beside(dataset: Dataset, queries: Dataset, place: str) -> Dataset:
    if None not in (dataset.sensor, queries.sensor) and dataset.sensor != queries.sensor:
        sizes = ("x".join(map(str, each.sensor or ())) for each in (queries, dataset))
        raise RecordingError("data.test {}: a sensor of {} pixels, that of data.root has {}".format(place, *sizes))
    known = {name: number for number, name in enumerate(dataset.classes)}
    names = queries.names(queries.labels)
    kept = [index for index, name in enumerate(names) if name in known]
    if not kept:
        raise RecordingError(f"data.test {place}: its classes {sorted(set(names))} are not among {sorted(known)}")
    lacking = sorted(set(names) - set(known))
    left_out = tuple(f"data.test {place}: class {name} is not trained on, left out" for name in lacking)
    chosen = replace(
        queries,
        frames=queries.frames[kept],
        labels=np.array([known[names[index]] for index in kept], np.int64),
        ids=[f"test/{queries.ids[index]}" for index in kept],
        of_file=tuple(f"test/{queries.files[index]}" for index in kept),
        windows=None if queries.windows is None else queries.windows[kept],
        skipped=queries.skipped + left_out,
    )
    both = joined(dataset, chosen)
    return replace(both, test=np.arange(len(both)) >= len(dataset))


def _folders_of_one_name(dataset: Dataset, share: float = 0.1, seed: int = 0) -> Mask:
    """Test queries of ``dataset``: all folders below the classes that bear the names that are drawn.

    Raises:
        RecordingError: a class would have nothing to train on or to ask for.
    """
    folders = np.array([PurePosixPath(*PurePosixPath(file).parts[1:-1]).as_posix() for file in dataset.files])
    names = np.unique(folders)
    drawn = np.random.default_rng(seed).permutation(names)[: max(1, round(share * len(names)))]
    test: Mask = np.isin(folders, drawn)
    for label in np.unique(dataset.labels).tolist():
        own = dataset.labels == label
        if test[own].all() or not test[own].any():
            counts = ", ".join(f"{name}: {count}" for name, count in sorted(Counter(folders[own].tolist()).items()))
            raise RecordingError(
                f'data.group = "folder": test is {", ".join(drawn)}, but class {dataset.name(label)} '
                f"has windows in {counts}: it needs some there and some elsewhere; use data.test or group by file"
            )
    return test
