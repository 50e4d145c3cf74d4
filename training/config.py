"""Configuration of an experiment: one TOML file, every key checked."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from spikinghash.errors import ConfigError, in_one_line
from spikinghash.files import read_file
from spikinghash.resources import CHECKPOINTS, CONFIGS, named, offered
from spikinghash.toml import parse_toml
from spikinghash.validation import first_fault
from training.data.binning import Crop
from training.data.events import LARGEST_SIDE

DataName = Literal["digits", "nmnist", "dvsgesture", "cifar10dvs", "ncaltech101", "folder", "images", "reversal"]
Mixer = Literal["swm", "ssa", "conv", "dwconv"]
Wavelet = Literal["space-time", "time", "space"]

LARGEST_LEVEL = 3
"""Of the Haar transform: at level 4 a block has 4,096 members, the map of a pair of channels 16.8 million entries."""
EXACT_STEPS = 32
"""Of a window: a potential gains a bit in each, beside up to 21 of its currents, and double precision has 53."""
LARGEST_STEPS, LARGEST_SIZE, LARGEST_WIDTH, LARGEST_DEPTH = 1024, 1024, 2**16, 64
"""Of the window; of a frame's side, in pixels; of channels, heads and bits; of stages, blocks and the MLP's ratio."""
LARGEST_EPOCH = 10**6
LARGEST_WEIGHTS = 2**28
"""Of all maps of an encoder, and of the block maps of a stage: a gigabyte in single precision."""
LARGEST_ACTIVITY = 2**30
"""Neurons, the hidden ones of MLPs included, times steps."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _pixels(value: object) -> object:
    """``"128x128"`` as ``(128, 128)``; what is no text as it is."""
    if not isinstance(value, str):
        return value
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError('WIDTHxHEIGHT in pixels is needed, as "346x260"')
    return int(width), int(height)


class DataConfig(_Section):
    """Which recordings, and how they become frames."""

    name: DataName = "digits"
    root: Path | None = None
    """Folder of the data set: in tonic's layout, or one folder per class; ``None`` for sets that are made."""
    also: tuple[Literal["digits"], ...] = ()
    """Data sets of the same classes that are trained on too; they are neither searched nor queried."""
    sensor: Annotated[tuple[int, int] | None, BeforeValidator(_pixels)] = None
    """Width and height in pixels, also as "128x128", for files of ``folder`` that do not tell their sensor's size."""
    stream: str | None = None
    """Name or number of the stream of events to read, for files of ``folder`` that have several."""
    sort: bool = False
    """Put events of ``folder`` in order of time however late they are."""
    crop: Crop | None = None
    """Which square of the sensor becomes the frame, whatever their sizes. ``whole``: the one around the sensor, scaled
    down. ``centre``: in its middle, the largest multiple of the frame that fits in, so that each pixel of the frame
    gathers equally many of the sensor's. ``activity``: as large, but on the median column and row of the events of
    each window. By default the middle, unscaled, of a sensor that is larger by at most 1/8 of the frame, the whole of
    any other."""
    window_ms: float | None = Field(None, ge=1e-3, le=1e9)
    """Length of the windows that recordings are cut into, in milliseconds; ``None``: a file is one recording."""
    hop_ms: float | None = Field(None, ge=1e-3, le=1e9)
    """Time from the start of a window to that of the next; by default one starts where the last one ends."""
    test: str | None = None
    """Recordings that are the test queries: a folder below ``root`` or beside it, or a pattern of paths below ``root``
    (``*/session2/*``). ``None``: drawn at random."""
    group: Literal["file", "folder"] = "file"
    """What is on one side of a random split as a whole: files, or all folders of one name below the classes."""

    @model_validator(mode="after")
    def _windows_fit(self) -> "DataConfig":
        if self.hop_ms is not None and self.window_ms is None:
            raise ValueError(f"hop_ms is {self.hop_ms:g}, but window_ms is not given: give both")
        if self.name == "images" and self.window_ms is not None:
            raise ValueError(f"window_ms is {self.window_ms:g}, but images have no time: leave it out")
        if self.name == "images" and self.crop is not None:
            raise ValueError(f"crop is {self.crop!r}, but images have no sensor: leave it out")
        if self.test is not None and self.name not in ("folder", "images"):
            raise ValueError(f"test is {self.test!r}, but {self.name} has a split of its own: leave it out")
        return self

    @model_validator(mode="after")
    def _sensor_has_pixels(self) -> "DataConfig":
        if self.sensor is not None and not 1 <= min(self.sensor) <= max(self.sensor) <= LARGEST_SIDE:
            raise ValueError(f"sensor is {list(self.sensor)}: give width and height in pixels, 1 to {LARGEST_SIDE}")
        return self


class EncoderConfig(_Section):
    """Sizes of the encoder. Lists hold one entry per stage."""

    time_steps: int = Field(8, ge=1)
    size: int = Field(32, ge=2, le=LARGEST_SIZE)
    """Height and width of a frame in pixels."""
    channels: tuple[Annotated[int, Field(ge=1, le=LARGEST_WIDTH)], ...] = Field((24, 48, 64, 96), min_length=1)
    blocks: tuple[Annotated[int, Field(ge=0, le=LARGEST_DEPTH)], ...] = (1, 1, 1, 1)
    mixers: tuple[Mixer, ...] = ("swm", "swm", "ssa", "ssa")
    """``swm``: Spiking WaveMixer; ``ssa``: spiking self-attention; ``conv``: a 3x3 convolution in the SWM's place;
    ``dwconv``: the same for each channel by itself."""
    levels: tuple[int, ...] = (2, 1, 0, 0)
    """Levels of the Haar transform; read in ``swm`` stages."""
    wavelet: Wavelet = "space-time"
    """Axes of the Haar transform: time, height and width; time alone; height and width alone."""
    channels_per_group: int = Field(4, ge=1, le=LARGEST_WIDTH)
    """Channels that the spectral fusion of a Spiking WaveMixer mixes with each other."""
    heads: tuple[int, ...] = (0, 0, 16, 6)
    """Attention heads; read in ``ssa`` stages."""
    mlp_ratio: int = Field(4, ge=1, le=LARGEST_DEPTH)
    head: Literal["hash", "classes"] = "hash"
    """``classes``: one output neuron per class in the place of the hash neurons; the class is that of the neuron that
    spikes most often, of several the first."""
    bits: int = Field(32, ge=2, le=LARGEST_WIDTH)
    """Hash neurons, K; whole bytes. With a classification head, the number of classes."""
    vote: int | None = Field(None, ge=1)
    """Steps in which a hash neuron must spike for its bit to be 1; ``None`` for a majority of the steps. Not read with
    a classification head."""

    @property
    def votes(self) -> int:
        """The vote in force: more than half of the steps unless the config names a number."""
        return self.vote if self.vote is not None else self.time_steps // 2 + 1

    @property
    def stage_sizes(self) -> tuple[int, ...]:
        """Height (= width) of the feature maps of each stage."""
        return tuple(self.size >> (stage + 1) for stage in range(len(self.channels)))

    @property
    def weights(self) -> int:
        """Weights of all maps, norms and biases apart."""
        sources = (2, *self.channels)
        return (
            sum(
                9 * sources[stage] * channels
                + self.blocks[stage] * (self._mixed(stage) + 2 * self.mlp_ratio * channels**2)
                for stage, channels in enumerate(self.channels)
            )
            + self.channels[-1] * self.bits
        )

    def _mixed(self, stage: int) -> int:
        """Weights of a mixer."""
        channels, levels = self.channels[stage], self.levels[stage]
        match self.mixers[stage]:
            case "swm":
                details = {"space-time": 7, "space": 3, "time": 1}[self.wavelet]
                return (details * levels + 1) * channels * self.channels_per_group
            case "ssa":
                return 4 * channels**2
            case "conv":
                return 9 * channels * self.channels_per_group
            case "dwconv":
                return 9 * channels

    @model_validator(mode="after")
    def _shapes_fit(self) -> "EncoderConfig":
        stages = len(self.channels)
        for key in ("blocks", "mixers", "levels", "heads"):
            if len(getattr(self, key)) != stages:
                raise ValueError(
                    f"{key} has {len(getattr(self, key))} entries, channels has {stages}: give one per stage"
                )
        if self.size % 2**stages:
            raise ValueError(
                f"size is {self.size}, but {stages} stages halve it {stages} times: use a multiple of {2**stages}"
            )
        if self.head == "hash" and self.bits % 8:
            raise ValueError(f"bits is {self.bits}: use a multiple of 8, codes are whole bytes")
        if self.time_steps > EXACT_STEPS:
            raise ValueError(
                f"time_steps is {self.time_steps}, limit {EXACT_STEPS}: a potential gains a bit in each step, and the "
                "exported network must be exact in double precision: use fewer, longer steps"
            )
        if self.votes > self.time_steps:
            raise ValueError(f"vote is {self.votes}, time_steps is {self.time_steps}: use at most {self.time_steps}")
        for stage in range(stages):
            self._check_stage(stage)
        self._check_amounts()
        return self

    def _check_amounts(self) -> None:
        pixels = (channels * side**2 for channels, side in zip(self.channels, self.stage_sizes, strict=True))
        activity = self.time_steps * self.mlp_ratio * sum(pixels)
        for what, amount, limit in (
            ("weights", self.weights, LARGEST_WEIGHTS),
            ("neurons times steps", activity, LARGEST_ACTIVITY),
        ):
            if amount > limit:
                raise ValueError(f"an encoder of {amount:,} {what}, limit {limit:,}: use fewer channels or blocks")

    def _check_stage(self, stage: int) -> None:
        channels, where = self.channels[stage], f"stage {stage + 1}"
        if self.mixers[stage] == "dwconv":
            return
        if self.mixers[stage] == "ssa":
            heads = self.heads[stage]
            if heads < 1 or channels % heads:
                raise ValueError(f"{where}: heads is {heads}, channels is {channels}: use a divisor of the channels")
            return
        if channels % self.channels_per_group:
            raise ValueError(
                f"{where}: channels_per_group is {self.channels_per_group}, channels is {channels}: use a divisor"
            )
        if self.mixers[stage] == "swm":
            self._check_levels(stage, where)

    def _check_levels(self, stage: int, where: str) -> None:
        size, levels = self.stage_sizes[stage], self.levels[stage]
        if not 0 <= levels <= LARGEST_LEVEL:
            raise ValueError(f"{where}: levels is {levels}: use 0 to {LARGEST_LEVEL}")
        block = 2**levels
        if (entries := self.channels[stage] * self.channels_per_group * block**6) > LARGEST_WEIGHTS:
            raise ValueError(f"{where}: block maps of {entries:,} entries, limit {LARGEST_WEIGHTS:,}: use fewer levels")
        if self.time_steps % block:
            raise ValueError(f"{where}: time_steps is {self.time_steps}, levels is {levels}: use a multiple of {block}")
        if size % block:
            raise ValueError(f"{where}: maps are {size}x{size}, levels is {levels}: use fewer levels or a larger size")


class TrainConfig(_Section):
    """Optimisation."""

    seed: int = Field(0, ge=0, lt=2**32)
    epochs: int = Field(20, ge=1, le=LARGEST_EPOCH)
    batch_size: int = Field(40, ge=2, le=2**20)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    labels: Literal["both", "hard", "soft"] = "both"
    """Which similarity labels the codes follow: those of the classes, the dynamic soft ones, or both."""
    soft_weight: float = Field(0.5, ge=0)
    """Weight of the dynamic soft similarity term."""
    balance_weight: float = Field(0.1, ge=0)
    """Weight of the bit balance term."""
    class_similarity: float = Field(1.0, gt=0, le=1)
    """Similarity that codes of two recordings of a class are trained to have; below 1 they keep a distance."""
    instance: float = Field(0.0, ge=0)
    """Weight of the instance term: a batch holds half as many recordings, each in two views whose codes attract."""
    decorrelate: float = Field(0.0, ge=0)
    """Weight of the correlation of bits within the classes."""
    max_shift: int | None = Field(None, ge=0, le=LARGEST_SIDE)
    """Largest random shift of a training recording, in pixels of its sensor. By default 2 where the sensor is not
    scaled down to the frame, a fifth of its larger side where it is: a thing elsewhere in view is the same thing."""
    flip: bool = False
    """Mirror recordings left to right at random: only where no class turns into another by it."""
    drop: float = Field(0.0, ge=0, lt=1)
    """Share of the events that are left out at random."""
    time_jitter: int = Field(0, ge=0, le=LARGEST_STEPS)
    """Largest random move in time, in steps."""
    rotate: float = Field(0.0, ge=0, le=180)
    """Largest random rotation, in degrees."""
    zoom: float = Field(0.0, ge=0, lt=1)
    """Largest random change of size, as a share of the size."""
    elastic: float = Field(0.0, ge=0, le=LARGEST_SIZE)
    """Standard deviation of a random elastic distortion, in pixels."""
    quantise: bool = False
    """Train on the grids of the deployed network: a fine-tuning of the checkpoint ``start``."""
    start: Path | None = None
    """Checkpoint to begin with, or the name of one that comes along (``nmnist``); weights whose shapes differ
    (a hash layer of other length) begin anew."""

    @property
    def views(self) -> int:
        """How often each recording is in a batch, changed at random anew."""
        return 2 if self.instance else 1

    @property
    def recordings(self) -> int:
        """In a batch."""
        return self.batch_size // self.views

    @model_validator(mode="after")
    def _views_fill_a_batch(self) -> "TrainConfig":
        if self.batch_size % self.views:
            raise ValueError(f"batch_size is {self.batch_size}, but instance needs two views of each: use an even one")
        return self


class SparsityConfig(_Section):
    """What the encoder may cost."""

    operations: float | None = Field(None, gt=0)
    """Budget of synaptic operations per recording: a controller weighs a penalty so that training keeps to it."""
    counted: Literal["natural", "lowered"] = "natural"
    """Which operations: each linear map once, or all copies of it in the deployed graph, gates and lanes included."""
    ramp: float = Field(0.6, ge=0, le=1)
    """Share of the training in which the budget falls from what the network spends at first."""
    prune: float = Field(0.0, ge=0, lt=1)
    """Share of the weights of each map that are pruned, the smallest ones; not of the stem and the wave mixers."""
    prune_channels: float = Field(0.0, ge=0, lt=1)
    """Share of each MLP's hidden channels that are pruned."""
    weight_bits: Literal[8, 4, 2] = 8
    """Bits of a weight on its grid; 2: ternary, -1, 0 or 1."""
    teacher: Path | None = None
    """Checkpoint whose answers to the training recordings are learned beside the labels."""
    answers: Literal["codes", "potentials"] = "codes"
    """Of the teacher: its bits, or the mean membrane potentials of its hash neurons."""
    distil_weight: float = Field(1.0, ge=0)
    """Weight of the distance from the teacher's answers."""

    @property
    def prunes(self) -> bool:
        """Whether anything is pruned."""
        return self.prune > 0 or self.prune_channels > 0


class Config(_Section):
    """A whole experiment."""

    data: DataConfig = DataConfig()
    encoder: EncoderConfig = EncoderConfig()
    train: TrainConfig = TrainConfig()
    sparsity: SparsityConfig = SparsityConfig()

    @model_validator(mode="after")
    def _window_has_steps(self) -> "Config":
        window, steps = self.data.window_ms, self.encoder.time_steps
        if window is not None and round(1000 * window) < steps:
            raise ValueError(
                f"data.window_ms is {window:g}, {round(1000 * window)} us, but {steps} time steps need as many "
                "microseconds: use a longer window"
            )
        return self

    @model_validator(mode="after")
    def _sparsity_fits(self) -> "Config":
        sparsity, head = self.sparsity, self.encoder.head
        if sparsity.prunes and not self.train.quantise:
            key = "prune" if sparsity.prune else "prune_channels"
            raise ValueError(
                f"sparsity.{key} is {getattr(sparsity, key)}, but train.quantise is false: prune in the training on "
                "the grids, which starts from a trained network"
            )
        if sparsity.weight_bits != 8 and not self.train.quantise:
            raise ValueError(
                f"sparsity.weight_bits is {sparsity.weight_bits}, but train.quantise is false: set it to true"
            )
        for key in ("class_similarity", "instance", "decorrelate"):
            value = getattr(self.train, key)
            if head != "hash" and value != TrainConfig.model_fields[key].default:
                raise ValueError(f'train.{key} is {value}, but encoder.head is "{head}": codes need "hash"')
        if head != "hash" and sparsity.teacher is not None:
            raise ValueError(f'sparsity.teacher is {sparsity.teacher}, but encoder.head is "{head}": codes need "hash"')
        return self


def parse_config(values: object, source: str) -> Config:
    """Check ``values`` (nested tables) and return them as a ``Config``.

    Raises:
        ConfigError: a key is unknown or a value cannot be used; ``source`` is named in the message.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_fault(error)}") from None


def load_config(path: Path) -> Config:
    """Read the TOML file ``path``.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or holds something unusable.
    """
    try:
        values = parse_toml(read_file(Path(path)).decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{offered(path, CONFIGS, '.toml')}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not a TOML file: {in_one_line(error)}") from None
    return _from_folder(parse_config(values, str(path)), Path(path).parent)


def _from_folder(config: Config, folder: Path) -> Config:
    """``config`` with the relative paths of its data taken from ``folder``, its own, or else from where they are."""
    data = config.data
    root = None if data.root is None else _placed(data.root.expanduser(), folder)
    test = data.test
    if test is not None:
        inside = (root or folder) / test
        place = inside if inside.is_dir() else _placed(Path(test).expanduser(), folder)
        test = str(place.resolve()) if place.is_dir() else test
    start = config.train.start
    placed = None if start is None else _placed(named(start, CHECKPOINTS, ".pt"), folder)
    train = config.train.model_copy(update={"start": placed})
    return config.model_copy(update={"data": data.model_copy(update={"root": root, "test": test}), "train": train})


def _placed(path: Path, folder: Path) -> Path:
    beside = folder / path
    return beside if beside.exists() or not path.exists() else path
