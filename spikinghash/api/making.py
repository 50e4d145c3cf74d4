"""From a config to a checkpoint, from a checkpoint to a file for other machines, from that to what a code costs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.report.model import Report
from export.encoder.forms import Numbers
from spikinghash.errors import GraphError
from spikinghash.extras import told_of_extras
from spikinghash.resources import CHECKPOINTS, CONFIGS, named

if TYPE_CHECKING:
    from training.config import Config


def train(config: "str | Path | Mapping[str, Any] | Config", out: str | Path, *, device: str = "auto") -> Path:
    """Train an encoder, or go on with what ``out`` holds of the same config. Takes the extra ``train``.

    Args:
        config: a TOML file, the name of one that comes along (``digits``), its tables, or a ``Config``.
        out: folder for checkpoint, metrics and learning curve.
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        The checkpoint.

    Raises:
        ConfigError: the config or the device cannot be used.
        RecordingError: the data set is not there.

    >>> train("digits", "runs/digits")  # doctest: +SKIP
    PosixPath('runs/digits/last.pt')
    """
    with told_of_extras():
        from training import train as training
        from training.config import Config, load_config, parse_config

    if isinstance(config, str | Path):
        config = load_config(named(config, CONFIGS, ".toml"))
    elif not isinstance(config, Config):
        config = parse_config(config, "config")
    training.train(config, Path(out), training.device_named(device))
    return Path(out) / training.LAST


def export(
    checkpoint: str | Path,
    target: str | Path,
    *,
    numbers: Numbers = "integer",
    **form: Any,
) -> Path:
    """Write a checkpoint as the file ``target``, run what was written and compare. Takes the extra ``export``.

    Args:
        checkpoint: a .pt file, or the name of one that comes along (``digits``, ``nmnist``).
        target: ``.nir``, a NIR graph, or ``.onnx``, an ONNX model.
        numbers: ``integer``, the quantised network, or ``float``, as trained.
        form: as ``export.nir.to_nir.export_nir`` or ``export.onnx.to_onnx.export_onnx`` takes it, as
            ``dialect="portable"`` or ``int8=True``.

    Returns:
        ``target``.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        GraphError: ``target`` is of another kind, or the network cannot be written as one.
        ComparisonError: the file computes something else; nothing is left at ``target``.

    >>> export("digits", "encoder.onnx").name
    'encoder.onnx'
    """
    target = Path(target)
    if target.suffix not in (".nir", ".onnx"):
        raise GraphError(f"{target}: unknown kind of file: use .nir or .onnx")
    with told_of_extras():
        from export.encoder.network import load_network
        from export.nir.to_nir import export_nir
        from export.onnx.to_onnx import export_onnx

    network = load_network(named(checkpoint, CHECKPOINTS, ".pt"), numbers)
    write: Any = export_nir if target.suffix == ".nir" else export_onnx
    write(network, target, **form)
    return target


def report(
    encoder: str | Path,
    recordings: Sequence[str | Path] = (),
    *,
    profiles: str = "all",
    out: str | Path | None = None,
) -> Report:
    """What a code costs on each platform, in energy and in time.

    Args:
        encoder: an encoder (.nir, .onnx, .pt), or the name of one that comes along. What is no .nir is lowered
            first (extra ``export``).
        recordings: files, or folders of them, to count spikes on; by default 20 of the digits (extra ``train``).
        profiles: ``all``, or ids of platforms and paths of profiles by commas.
        out: folder for page, figures and counts; by default nothing is written.

    Returns:
        The report as a typed tree: joules per code with bands, seconds, and what was refused and why.

    Raises:
        GraphError: the encoder cannot be used.
        RecordingError: a recording cannot be used.
        ProfileError: there is no such platform.

    >>> report("encoder.nir", [example("7")], profiles="loihi1").spiking.name  # doctest: +SKIP
    """
    from deploy.report.__main__ import write_report
    from deploy.report.build import build_report
    from deploy.report.inputs import read_inputs
    from hardware_profiles.loader import load_profiles

    loaded = load_profiles(profiles)
    with told_of_extras():
        inputs = read_inputs(Path(encoder), [Path(path) for path in recordings], None, None, "")
    made = build_report(replace(inputs, profiles=loaded))
    if out is not None:
        write_report(made, inputs.counts, Path(out))
    return made
