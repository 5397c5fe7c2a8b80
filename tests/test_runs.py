"""Folders of runs: begun, taken up, moved aside, refused, named."""

import json
import platform
from getpass import getuser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import finished, folder_in, spec

from tl_geometry.runs import open_run, run_folder, run_name, state, versions
from tl_geometry.runs.lock import HOLDER, LOCK


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_in(tmp_path)


def visible(folder: Path) -> list[str]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != LOCK)
    return sorted(str(path.relative_to(folder)) for path in files)


def test_a_run_has_the_layout_that_is_documented(folder: Path):
    with open_run(folder, spec()) as run:
        run.log("owner/tiny").append([{"key": "a"}])
        run.write_table("values", pd.DataFrame({"x": [1]}))
        run.write_text("report.html", "<p>")
        run.save_arrays("owner/tiny", "direction", {"v": np.zeros(2)})
        run.write_json("summary.json", {"key": run.spec.key})
    assert visible(folder) == [
        "log.txt",
        "owner--tiny/artifacts/direction.safetensors",
        "owner--tiny/rows.jsonl",
        "report.html",
        "spec.json",
        "summary.json",
        "tables/values.csv",
    ]


def test_the_spec_on_disk_says_what_was_run_and_on_what(folder: Path):
    with open_run(folder, spec(), plan={"batches": [[0, 1]]}):
        about = json.loads((folder / "spec.json").read_text())
    assert about["key"] == spec().key
    assert about["spec"] == spec().as_dict()
    assert about["plan"] == {"batches": [[0, 1]]}
    assert about["versions"] == versions()
    assert about["created"].startswith("20")


def test_a_run_is_absent_then_partial_then_finished(folder: Path):
    assert state(folder) == "absent"
    with open_run(folder, spec()) as run:
        assert state(folder) == "partial"
        run.write_json("summary.json", {"key": "that of another run"})
        assert state(folder) == "partial"
        run.write_json("summary.json", {"key": run.spec.key})
        assert state(folder) == "finished"
    assert state(folder) == "finished"


def test_resuming_finds_the_rows_and_the_batch_plan_of_the_first_start(folder: Path):
    with open_run(folder, spec(), plan={"size": 4}) as run:
        run.log("tiny").append([{"key": "a"}])
    with open_run(folder, spec(), plan={"size": 8}) as run:
        assert run.log("tiny").done == {"a"}
        assert run.plan == {"size": 4}


def test_a_plan_can_be_recorded_later_and_changes_no_key(folder: Path):
    with open_run(folder, spec()) as run:
        assert run.plan == {}
        run.set_plan({"batches": ((0, 1), (2,))})
    with open_run(folder, spec()) as run:
        assert run.plan == {"batches": [[0, 1], [2]]}
        assert run.about["key"] == spec().key


def test_other_settings_in_the_same_folder_are_refused_by_name(folder: Path):
    finished(folder)
    before = {name: (folder / name).read_bytes() for name in visible(folder)}
    with (
        pytest.raises(ValueError, match=r"parameters\.window: 16 → 24.*--fresh.*another --run"),
        open_run(folder, spec(window=24)),
    ):
        pass
    assert {name: (folder / name).read_bytes() for name in visible(folder)} == before


def test_fresh_moves_the_old_run_aside_whole(folder: Path):
    finished(folder)
    old = {n: (folder / n).read_bytes() for n in visible(folder)}
    with open_run(folder, spec(window=24), policy="fresh") as run:
        assert run.log("owner/tiny").done == frozenset()
        assert visible(folder) == [HOLDER, "log.txt", "spec.json"]
        assert run.measuring
    (aside,) = folder.parent.glob("tiny.old-*")
    assert {n: (aside / n).read_bytes() for n in visible(aside)} == old
    with open_run(folder, spec(window=24), policy="fresh"):  # within the same second
        pass
    assert len(list(folder.parent.glob("tiny.old-*"))) == 2


def test_fresh_on_nothing_moves_nothing(folder: Path):
    with open_run(folder, spec(), policy="fresh"):
        pass
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"]


def test_a_move_that_was_killed_half_way_is_never_taken_for_a_finished_run(
    folder: Path, monkeypatch
):
    n_entries = len(list(finished(folder).iterdir())) - 1  # the lock stays
    rename, moved = Path.rename, []

    def dying(self: Path, target: Path) -> Path:
        if len(moved) == stop:
            raise SystemExit
        moved.append(self.name)
        return rename(self, target)

    for stop in range(n_entries):
        moved.clear()
        monkeypatch.setattr(Path, "rename", dying)
        with pytest.raises(SystemExit), open_run(folder, spec(), policy="fresh"):
            pass
        monkeypatch.undo()
        assert state(folder) == ("partial" if stop else "finished")
        finished(folder)  # resuming completes it again
        assert state(folder) == "finished"
    assert moved[0] == "summary.json" and "spec.json" not in moved


def test_skip_measures_nothing_where_a_run_has_begun(folder: Path):
    with open_run(folder, spec(), policy="skip") as run:
        assert run.measuring
    with open_run(folder, spec(), policy="skip") as run:
        assert not run.measuring
    with open_run(folder, spec()) as run:
        assert run.measuring


def test_a_folder_with_other_files_in_it_is_left_alone(folder: Path):
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("ten years of work")
    for policy in ("resume", "fresh", "skip"):
        with (
            pytest.raises(ValueError, match="holds thesis.tex but no spec.json"),
            open_run(folder, spec(), policy=policy),
        ):
            pass
    assert (folder / "thesis.tex").read_text() == "ten years of work"
    assert len(list(folder.parent.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match="cannot hold a run .*choose another --out"):
            open_run(path, spec()).__enter__()


def test_a_damaged_spec_is_named_and_fresh_still_works(folder: Path):
    finished(folder)
    (folder / "spec.json").write_text("{")
    with pytest.raises(ValueError, match="spec.json is not JSON: start over with --fresh"):
        open_run(folder, spec()).__enter__()
    with open_run(folder, spec(), policy="fresh"):
        assert state(folder) == "partial"


def test_an_unknown_policy_is_refused_before_anything_is_touched(folder: Path):
    with pytest.raises(Exception, match="policy|overwrite"):
        open_run(folder, spec(), policy="overwrite").__enter__()  # pyright: ignore[reportArgumentType] # the point: no such policy
    assert not folder.exists()


def test_files_left_half_written_by_a_killed_process_are_swept_up(folder: Path):
    finished(folder)
    left = [folder / ".spec.json.ab12.partial", folder / "tables" / ".values.csv.cd34.partial"]
    for path in left:
        path.write_text("half")
    with open_run(folder, spec()):
        assert not any(path.exists() for path in left)
    assert (folder / "tables" / "values.csv").exists()


def test_nothing_is_written_outside_the_folder(folder: Path, tmp_path: Path):
    with open_run(folder, spec()) as run:
        for name in ("../stray.json", str(tmp_path / "stray.json")):
            with pytest.raises(ValueError, match="outside the run's folder"):
                run.write_json(name, {})
        with pytest.raises(ValueError, match="outside"):
            run.write_table("../../stray", pd.DataFrame())


def test_the_environment_names_no_person_and_no_host():
    found = versions()
    assert {"python", "torch", "transformers", "transformer-lens", "tl_geometry", "cpu"} <= set(
        found
    )
    assert "not installed" not in found.values()
    words = " ".join(found.values()).split()
    assert platform.node() not in words and getuser() not in words


def test_names_of_runs_and_folders():
    assert run_name(spec(), "owner/tiny") == f"owner--tiny-{spec().key[:8]}"
    assert run_name(spec(), "seed", "pilot_2.b") == "pilot_2.b"
    for bad in ("../x", "a/b", "a b"):
        with pytest.raises(ValueError, match="cannot be named .*for example"):
            run_name(spec(), "seed", bad)
    with pytest.raises(ValueError, match="leaves nothing"):
        run_name(spec(), "seed", "..")
    assert run_folder("homeostasis", "a") == Path("runs/homeostasis/a")
    assert run_folder("homeostasis", "a", Path("else")) == Path("else/a")
