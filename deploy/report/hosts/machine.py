"""What the machine at hand is."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deploy.report.hosts.results import Machine

_CPUINFO = Path("/proc/cpuinfo")
_PACKAGES = ("numpy", "numba", "onnxruntime")


def describe_machine(cpuinfo: Path = _CPUINFO) -> Machine:
    """CPU, cores, memory, system and versions of what runs the encoders."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in fields.items()}
    versions = {"python": platform.python_version(), **{name: found for name in _PACKAGES if (found := _version(name))}}
    return Machine(
        cpu=values.get("model name", platform.processor() or platform.machine()),
        architecture=platform.machine() or "unknown",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.release()}",
        virtual="hypervisor" in values.get("flags", "").split(),
        versions=versions,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
