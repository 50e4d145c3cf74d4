"""The ANN twin of an encoder: its topology, ReLU for LIF, softmax attention, one real-valued code per recording."""

from torch import Tensor, nn
from torch.nn import functional

from training.config import EncoderConfig
from training.model.encoder import AttentionBranch, Spikinghash
from training.model.layers import ConvNorm
from training.model.lif import Lif
from training.model.wave_mixer import WaveMixer


class SoftmaxProduct(nn.Module):
    """``softmax(Q K^T / sqrt(d)) V`` (Vaswani et al. 2017, eq. 1), a module so that its work can be counted."""

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Each (..., tokens, d) in, the same out."""
        return functional.scaled_dot_product_attention(queries, keys, values)


class SoftmaxAttention(nn.Module):
    """Multi-head attention over the tokens of each frame, activations between its maps."""

    def __init__(self, channels: int, heads: int, activation: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = ConvNorm(channels, 3 * channels, kernel=1)
        self.product = SoftmaxProduct()
        self.activation = activation
        self.projection = ConvNorm(channels, channels, kernel=1)

    def forward(self, activations: Tensor) -> Tensor:
        """Activations (T, B, C, H, W) in, what is added to the stream out."""
        t, b, c, h, w = activations.shape
        qkv = self.qkv(activations).reshape(t * b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2)
        mixed = self.product(*qkv.unbind(1))
        result: Tensor = self.projection(self.activation(mixed.transpose(-1, -2).reshape(activations.shape)))
        return result


class SpatialMixer(nn.Module):
    """A WaveMixer in height and width, for windows of one frame: its blocks span time, so the frame is repeated."""

    def __init__(self, mixer: WaveMixer) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, activity: Tensor) -> Tensor:
        """(1, B, C, H, W) to the same shape."""
        result: Tensor = self.mixer(activity.expand(2**self.mixer.levels, -1, -1, -1, -1))
        return result[:1]


def _of_one_frame(config: EncoderConfig) -> EncoderConfig:
    """What is left of ``config`` without a time axis: a Haar transform along time alone has none to go along."""
    without = {"levels": (0,) * len(config.levels)} if config.wavelet == "time" else {"wavelet": "space"}
    return config.model_copy(update=without)


class AnnTwin(nn.Module):
    """Frames (B, T, 2, H, W) to real-valued codes (B, K); a bit is 1 where its value is positive.

    With a classification head the values are logits of K classes.

    Args:
        config: the encoder's sizes.
        frames: 1 (the mean of all frames) or T.
    """

    def __init__(self, config: EncoderConfig, frames: int) -> None:
        super().__init__()
        self.frames = frames
        spiking = Spikinghash(_of_one_frame(config) if frames == 1 else config)
        self.stages = spiking.stages
        self._replace_neurons()
        self.activation = nn.ReLU()
        self.linear = nn.Linear(config.channels[-1], config.bits, bias=False)
        self.norm = nn.BatchNorm1d(config.bits)

    def _replace_neurons(self) -> None:
        for module in list(self.stages.modules()):
            if isinstance(module, AttentionBranch):
                channels = module.mixer.projection.conv.out_channels
                module.mixer = SoftmaxAttention(channels, module.mixer.heads, nn.ReLU())  # type: ignore[assignment]
            for name, child in list(module.named_children()):
                if isinstance(child, Lif):
                    setattr(module, name, nn.ReLU())
                elif isinstance(child, WaveMixer) and self.frames == 1 and not isinstance(module, SpatialMixer):
                    setattr(module, name, SpatialMixer(child))

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 2, H, W) of zeros and ones to (B, K)."""
        stream = frames.permute(1, 0, 3, 4, 2).to(self.linear.weight.dtype)
        if self.frames == 1:
            stream = stream.mean(0, keepdim=True)
        stream = self.stages(stream.contiguous().permute(0, 1, 4, 2, 3))
        features = self.activation(stream).mean(dim=(0, -2, -1))
        result: Tensor = self.norm(self.linear(features))
        return result
