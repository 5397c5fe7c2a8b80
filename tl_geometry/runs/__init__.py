"""The resumable record of a run: a folder that can be killed at any moment and goes on from there.

    spec.json  summary.json  log.txt  tables/  figures/  <model>/rows.jsonl  <model>/artifacts/

Rows are the record (`RowLog`); tables, figures and summary are made from them and written whole.
A worker process that has only one model of the run holds that model's folder (`ModelRecord`).
`summary.json` comes last: with it, and the same key in it, the run is finished.
"""

from tl_geometry.runs.environment import versions
from tl_geometry.runs.folders import run_folder, run_name, state
from tl_geometry.runs.lock import FolderBusyError
from tl_geometry.runs.model_record import ModelRecord, open_model_record
from tl_geometry.runs.record import Policy, Run, open_run
from tl_geometry.runs.rowlog import RowLog
from tl_geometry.runs.spec import Spec

__all__ = [
    "FolderBusyError",
    "ModelRecord",
    "Policy",
    "RowLog",
    "Run",
    "Spec",
    "open_model_record",
    "open_run",
    "run_folder",
    "run_name",
    "state",
    "versions",
]
