"""On what a number was computed: versions and hardware, and nothing that names a person or host."""

import platform
from importlib import metadata
from pathlib import Path

import torch

import tl_geometry

PACKAGES = ("torch", "transformers", "transformer-lens", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Versions of what computes, the processor, its threads in use, and the GPU if there is one."""
    found = {"python": platform.python_version(), "tl_geometry": tl_geometry.__version__}
    found |= {package: _version(package) for package in PACKAGES}
    found |= {"cpu": _cpu(), "threads": str(torch.get_num_threads())}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
