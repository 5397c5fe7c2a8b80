"""Shared models and runs. Imports of tl_geometry stay inside the fixtures: the shape checker
has to be installed before the package is imported."""

import os
from typing import Any

import pytest

# Tests must never reach for a hub, and parallel workers share two cores.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pocket() -> Any:
    """The default embedded model, loaded once for the whole session."""
    from tl_geometry.models import load_model

    return load_model("pocket-mistral")
