"""What packages of analyses export under a name can be imported under that name, at any time."""

from importlib import import_module
from pathlib import Path

import pytest

import analyses

FOLDERS = sorted(p.parent for p in Path(analyses.__file__).parent.glob("*/__init__.py"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_export_is_called_like_a_module(folder: Path) -> None:
    """Importing the module would put it in the export's place."""
    exports = set(import_module(f"analyses.{folder.name}").__all__)
    assert exports and not exports & {path.stem for path in folder.glob("*.py")}
