"""The way to a Milvus server, or to Milvus Lite, which runs on this machine."""

import importlib.util
import logging
import os
import sys
import types
from typing import Any

from spikinghash.errors import SearchError
from spikinghash.extras import told_of_extras

TOKEN_VARIABLE = "MILVUS_TOKEN"
"""Environment variable with the server's token, ``user:password``; it is never written to a file."""

_ANSWER_SECONDS, _START_SECONDS = 10, 120


def connect(uri: str) -> Any:
    """A client of the server at ``uri``, ``http://HOST:PORT`` or a file name for Milvus Lite.

    Raises:
        MissingToolError: pymilvus is not installed.
        SearchError: no server answers.
    """
    with told_of_extras():
        import pymilvus
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs what it raises
    remote = uri.startswith(("http://", "https://"))
    if not remote:
        _allow_milvus_lite()
    try:
        # A server answers or it does not; Milvus Lite is started first, which takes its time on a busy machine.
        timeout = _ANSWER_SECONDS if remote else _START_SECONDS
        return pymilvus.MilvusClient(uri, token=os.environ.get(TOKEN_VARIABLE, ""), timeout=timeout)
    except pymilvus.MilvusException as error:
        raise SearchError(f"{uri}: no Milvus server answers: {' '.join(str(error.message).split())}") from None


def _allow_milvus_lite() -> None:
    """Milvus Lite 2.5 asks pkg_resources, which setuptools 82 dropped, for its own version, and for nothing else."""
    if "pkg_resources" not in sys.modules and importlib.util.find_spec("pkg_resources") is None:
        from importlib.metadata import PackageNotFoundError, distribution

        stand_in = types.ModuleType("pkg_resources")
        vars(stand_in).update(DistributionNotFound=PackageNotFoundError, get_distribution=distribution)
        sys.modules["pkg_resources"] = stand_in
