"""While a run is open, nobody else has its folder, and its log holds what happens."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import finished, folder_in, spec

from tl_geometry.runs import FolderBusyError, open_run
from tl_geometry.runs.lock import HOLDER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_in(tmp_path)


def test_a_second_process_is_told_who_holds_the_folder(folder: Path, tmp_path: Path):
    script = tmp_path / "second.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from tl_geometry.runs.lock import FolderBusyError, locked\n"
        "try:\n"
        "    with locked(Path(sys.argv[1])):\n"
        "        sys.exit(0)\n"
        "except FolderBusyError as error:\n"
        "    sys.exit(str(error))\n"
    )

    with open_run(folder, spec()):
        refused = subprocess.run(
            [sys.executable, str(script), str(folder)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    assert refused.returncode == 1
    assert f"is in use by process {os.getpid()} (since 20" in refused.stderr
    assert "choose another --run" in refused.stderr and "Traceback" not in refused.stderr


def test_a_second_run_in_the_same_process_is_refused_too(folder: Path):
    with (
        open_run(folder, spec()),
        pytest.raises(FolderBusyError, match=f"process {os.getpid()}"),
        open_run(folder, spec()),
    ):
        pass
    with open_run(folder, spec()):
        pass


def test_a_holder_that_never_signed_is_still_an_obstacle(folder: Path):
    with open_run(folder, spec()):
        (folder / HOLDER).write_text("{")
        with pytest.raises(FolderBusyError, match="another process"):
            open_run(folder, spec()).__enter__()


def test_the_signature_of_a_dead_process_is_no_obstacle(folder: Path):
    folder.mkdir(parents=True)
    (folder / HOLDER).write_text('{"pid": 1, "since": "2020-01-01 00:00:00"}')
    with open_run(folder, spec()):
        assert json.loads((folder / HOLDER).read_text())["pid"] == os.getpid()
    assert not (folder / HOLDER).exists()


def test_the_folder_is_free_again_after_an_error(folder: Path):
    with pytest.raises(ZeroDivisionError), open_run(folder, spec()):
        _ = 1 / 0
    with open_run(folder, spec()):
        pass


def test_messages_and_errors_are_in_the_log_file_while_the_run_is_open(folder: Path):
    own, other = (
        logging.getLogger("analyses.homeostasis.experiment"),
        logging.getLogger("elsewhere"),
    )
    with open_run(folder, spec()):
        own.info("measured 3 pairs")
        other.info("chatter")
        other.warning("a warning of somebody else")
    own.warning("after the run")
    with pytest.raises(ZeroDivisionError), open_run(folder, spec()):
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt), open_run(folder, spec()):
        raise KeyboardInterrupt
    text = (folder / "log.txt").read_text()
    assert "INFO analyses.homeostasis.experiment: measured 3 pairs" in text
    assert "a warning of somebody else" in text
    assert "chatter" not in text and "after the run" not in text
    assert "stopped by an error" in text and "ZeroDivisionError: division by zero" in text
    assert "interrupted" in text
    assert text.index("new run tiny") < text.index("going on with the run tiny")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_that_a_full_disk_does_not_take_is_no_obstacle(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    finished(folder)
    (folder / "log.txt").unlink()
    (folder / "log.txt").symlink_to("/dev/full")
    with open_run(folder, spec()) as run:
        logging.getLogger("analyses").info("not recorded")
        assert run.log("owner/tiny").append([{"key": "b"}]) == 1
    assert capsys.readouterr().err == ""


def test_logging_is_left_as_it_was(folder: Path, monkeypatch):
    root, own = logging.getLogger(), logging.getLogger("tl_geometry")
    monkeypatch.setattr(own, "level", logging.ERROR)
    before = list(root.handlers), root.level
    with pytest.raises(ZeroDivisionError), open_run(folder, spec()):
        assert own.level == logging.INFO
        _ = 1 / 0
    assert (list(root.handlers), root.level) == before
    assert own.level == logging.ERROR


def test_another_environment_is_noted_in_the_log(folder: Path):
    finished(folder)
    about = json.loads((folder / "spec.json").read_text())
    about["versions"]["torch"] = "1.0"
    (folder / "spec.json").write_text(json.dumps(about))
    with open_run(folder, spec()):
        pass
    assert 'another environment: torch: "1.0" → ' in (folder / "log.txt").read_text()
