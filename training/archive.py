"""Files of tensors as torch.save writes them, and the digest by which what they hold proves itself.

torch.load does not look at the CRCs of the zip archive: a flipped bit becomes another weight. They are checked first,
so that its unpickler meets only what was once written.
"""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from spikinghash.errors import CheckpointError
from spikinghash.files import atomic_path, require_file
from spikinghash.resources import CHECKPOINTS, offered


def load_archive(path: Path) -> Any:
    """What torch.save wrote to ``path``, on the CPU. Nothing in the file is executed, no more than its size is read.

    Raises:
        CheckpointError: it cannot be read, is damaged or of another format.
    """
    try:
        require_file(path)
        _check_members(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check_tensors(content)
        return content
    except OSError as error:
        known = offered(path, CHECKPOINTS, ".pt")
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}{known}") from None
    except Exception as error:  # zipfile and torch raise whatever a broken file leads them to
        reason = (str(error).splitlines() or [""])[0][:80] or type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint, or damaged or truncated ({reason}): copy it anew") from None


def save_archive(path: Path, content: Any) -> None:
    """Write ``content`` with torch.save, whole or not at all."""
    archive = io.BytesIO()  # torch ends the process where it cannot write
    torch.save(content, archive)
    with atomic_path(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def _check_members(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("compressed, which torch.save never does")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its members claim more than the file holds")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the CRC of {damaged} differs")


def _check_tensors(content: object) -> None:
    """Refuse tensors of other kinds than trainings save, and those that claim more values than the file holds."""
    if isinstance(content, dict | list | tuple):
        for item in content.values() if isinstance(content, dict) else content:
            _check_tensors(item)
    elif isinstance(content, torch.Tensor):
        if content.layout != torch.strided or content.is_quantized or content.device.type != "cpu":
            raise ValueError(f"a tensor of kind {content.layout}, {content.dtype} on {content.device}")
        if content.numel() * content.element_size() > content.untyped_storage().nbytes():
            raise ValueError(f"a tensor claims shape {tuple(content.shape)}, more than it holds")


def content_digest(content: object) -> str:
    """SHA-256 of tensors and plain values in dicts and lists, in hex; the same for equal content in equal order."""
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", value: object) -> None:
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)}:".encode())
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)}:".encode())
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}:".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{value!r};".encode())
