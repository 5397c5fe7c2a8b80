"""The same tasks in turn, in processes and on Ray; workers that die; work that is taken up."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest
import side_by_side
from side_by_side import MODELS, N_ROWS, measure

from tl_geometry.execute import Executor, Outcome, Task, execute
from tl_geometry.runs import FolderBusyError, RowLog, Spec, open_model_record, open_run

EXECUTORS: tuple[Executor, ...] = ("serial", "processes", "ray")
SPEC = Spec(
    analysis="execute",
    step="measure",
    version=1,
    dtype="float32",
    prompts_hash="ab",
    model={"name": "tiny", "source": "tiny", "revision": "1"},
)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A Ray cluster of two machines, both here, with one CPU each; this process has joined it."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # As installed on the machines: Ray hands on the working directory only.
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        second = cluster.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", cluster.address)
        try:
            ray.init(logging_level=logging.WARNING, log_to_driver=False)
            yield cluster, second
        finally:
            ray.shutdown()
            cluster.shutdown()


def begun(folder: Path) -> Path:
    """A run in whose folder workers may measure."""
    with open_run(folder / "run", SPEC):
        return folder / "run"


def tasks(run: Path) -> list[Task]:
    return [Task(model, (run, model)) for model in MODELS]


def measured(run: Path) -> dict[str, bytes]:
    """What has to be reproducible: rows and plan of every model."""
    found = {f"{m}/{name}": run / m / name for m in MODELS for name in ("rows.jsonl", "plan.json")}
    return {name: path.read_bytes() for name, path in found.items() if path.exists()}


def n_rows(run: Path, model: str) -> int:
    path = run / model / "rows.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def attempts(run: Path, model: str) -> list[list[str]]:
    path = run.with_name(f"{model}.attempts")
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def until(condition: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = begun(tmp_path_factory.mktemp("whole"))
    outcomes = execute(partial(measure, 0), tasks(run))
    assert outcomes == [Outcome(model, N_ROWS) for model in MODELS]
    found = measured(run)
    assert len(found) == 2 * len(MODELS)
    return found


# Before those with a cluster, which Ray would find.
def test_without_a_cluster_ray_is_started_here_and_ended(monkeypatch):
    import ray

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    handler = logging.StreamHandler()
    handler.setFormatter(own := logging.Formatter("%(message)s"))
    logging.getLogger().addHandler(handler)
    (outcome,) = execute(
        side_by_side.cluster_cpus, [Task("a", None)], executor="ray", workers=3, num_cpus=2
    )
    logging.getLogger().removeHandler(handler)
    assert outcome == Outcome("a", 6.0)
    assert not ray.is_initialized() and handler.formatter is own


@pytest.mark.parametrize("executor", EXECUTORS)
def test_outcomes_do_not_depend_on_the_executor(executor: Executor, request):
    if executor == "ray":
        request.getfixturevalue("two_nodes")
    seen: list[str] = []
    outcomes = execute(
        side_by_side.divide,
        [Task("half", (1, 2)), Task("zero", (1, 0)), Task("third", (1, 3)), Task("two", (2, 1))],
        executor=executor,
        on_done=lambda outcome: seen.append(outcome.key),
    )
    assert outcomes == [
        Outcome("half", 0.5),
        Outcome("zero", reason="ZeroDivisionError: division by zero"),
        Outcome("third", 1 / 3),
        Outcome("two", 2.0),
    ]
    assert "in divide" in outcomes[1].trace and not outcomes[0].trace
    assert sorted(seen) == ["half", "third", "two", "zero"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_exceptions_that_cannot_be_sent_and_exits_are_reasons(executor: Executor, request):
    if executor == "ray":
        request.getfixturevalue("two_nodes")
    numbers = [Task(str(number), number) for number in range(4)]
    outcomes = execute(side_by_side.odd_ones, numbers, executor=executor)
    assert [(o.value, o.reason) for o in outcomes] == [
        (0, ""),
        (None, "Stubborn: cannot be sent"),
        (None, "SystemExit: no such model"),
        (3, ""),
    ]


@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_a_worker_that_dies_is_replaced_and_nothing_finished_is_done_twice(
    executor: Executor, tmp_path: Path, request
):
    if executor == "ray":
        request.getfixturevalue("two_nodes")
    keys = ["first", "victim", "third", "fourth", "fifth"]
    outcomes = execute(
        side_by_side.die_once, [Task(key, (tmp_path, key)) for key in keys], executor=executor
    )
    assert outcomes == [Outcome(key, key) for key in keys]
    made = {key: (tmp_path / key).read_text().count("\n") for key in keys}
    assert made == {"first": 1, "victim": 2, "third": 1, "fourth": 1, "fifth": 1}


@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_a_task_that_kills_every_worker_is_a_reason_and_the_others_finish(
    executor: Executor, tmp_path: Path, request, caplog
):
    if executor == "ray":
        request.getfixturevalue("two_nodes")
    keys = ["victim", "second", "third"]
    outcomes = execute(
        side_by_side.die,
        [Task(key, (tmp_path, key)) for key in keys],
        executor=executor,
        retries=2,
    )
    assert [(o.key, o.value) for o in outcomes[1:]] == [("second", "second"), ("third", "third")]
    assert outcomes[0].value is None and "died" in outcomes[0].reason
    made = {key: (tmp_path / key).read_text().count("\n") for key in keys}
    assert made == {"victim": 3, "second": 1, "third": 1}
    if executor == "processes":
        assert "died 3 times" in outcomes[0].reason
        assert [r.levelno for r in caplog.records] == [logging.WARNING] * 2


def test_a_value_that_cannot_be_sent_is_a_reason_and_its_worker_goes_on():
    two = [Task("0", 0), Task("1", 1), Task("2", 0)]
    outcomes = execute(side_by_side.unsendable, two, executor="processes", workers=1)
    assert [o.value for o in outcomes] == ["sent", None, "sent"]
    assert "pickle" in outcomes[1].reason


def test_workers_share_the_cpus_before_torch_is_there(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (outcome,) = execute(side_by_side.threads, [Task("a", None)], executor="processes", workers=9)
    assert outcome.value == (str(os.cpu_count()), False)  # one task needs one worker
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    (outcome,) = execute(side_by_side.threads, [Task("a", None)], executor="processes")
    assert outcome.value == ("7", False)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_caller_and_a_second_start_completes_its_work(
    sign: signal.Signals, tmp_path: Path, uninterrupted: dict[str, bytes]
):
    run = begun(tmp_path)
    started = subprocess.Popen(
        # Slow enough for a busy machine: nobody may begin a third model before the signal comes.
        [sys.executable, side_by_side.__file__, str(run), "4"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.DEVNULL,
    )
    until(lambda: n_rows(run, "a") and n_rows(run, "b"))
    started.send_signal(sign)
    started.wait(30)
    workers = [int(pid) for model in MODELS for pid, _ in attempts(run, model)]
    assert len(workers) == 2
    until(lambda: not any(running(pid) for pid in workers), 20)
    before = {m: n_rows(run, m) for m in MODELS}
    assert 0 < before["a"] < N_ROWS and before["c"] == 0
    outcomes = execute(partial(measure, 0), tasks(run), executor="processes")
    assert outcomes == [Outcome(model, N_ROWS) for model in MODELS]
    assert measured(run) == uninterrupted


def running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_an_error_of_the_caller_ends_the_workers(tmp_path: Path):
    def full_disk(outcome: Outcome) -> None:
        raise OSError("the disk is full")

    run = begun(tmp_path)
    quick = Task("unknown", (tmp_path / "nowhere", "x"))
    with pytest.raises(OSError, match="disk is full"):
        execute(
            partial(measure, 60), [*tasks(run)[:1], quick], executor="processes", on_done=full_disk
        )
    assert not [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


@pytest.mark.timeout(300)
def test_work_of_a_lost_machine_is_completed_by_the_other(
    two_nodes: Any, tmp_path: Path, uninterrupted: dict[str, bytes]
):
    import ray

    ray.shutdown()  # so that it is joined here by its address
    cluster, second = two_nodes
    run, lost = begun(tmp_path), second.node_id

    def in_the_middle() -> str:
        there = [m for m in MODELS if any(node == lost for _, node in attempts(run, m))]
        return next((m for m in there if 0 < n_rows(run, m) < N_ROWS - 4), "")

    def lose() -> None:
        until(in_the_middle)
        cluster.remove_node(second, allow_graceful=False)

    thread = Thread(target=lose, daemon=True)
    thread.start()
    outcomes = execute(partial(measure, 0.7), tasks(run), executor="ray", retries=2)
    thread.join()
    assert outcomes == [Outcome(model, N_ROWS) for model in MODELS]
    assert measured(run) == uninterrupted
    where = {model: [node for _, node in attempts(run, model)] for model in MODELS}
    moved = [nodes for nodes in where.values() if lost in nodes]
    assert moved and all(nodes[-1] != lost or len(nodes) == 1 for nodes in moved)
    assert any(len(nodes) == 2 for nodes in moved)


def test_ray_does_not_wait_for_gpus_that_are_not_there(two_nodes: Any):
    with pytest.raises(ValueError, match="num_gpus=1 a task, but Ray knows of no GPU"):
        execute(side_by_side.divide, [Task("a", (1, 1))], executor="ray", num_gpus=1)


def test_settings_that_cannot_work_are_one_sentence():
    two = [Task("a", (1, 1)), Task("a", (1, 2))]
    with pytest.raises(Exception, match="executor|threads"):
        execute(side_by_side.divide, two[:1], executor="threads")  # pyright: ignore[reportArgumentType] # the point: no such executor
    with pytest.raises(ValueError, match="workers=0: at least 1"):
        execute(side_by_side.divide, two[:1], workers=0)
    with pytest.raises(ValueError, match="retries=-1"):
        execute(side_by_side.divide, two[:1], retries=-1)
    with pytest.raises(ValueError, match="'a' names more than one task"):
        execute(side_by_side.divide, two)


@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_what_cannot_be_sent_is_refused_before_anything_starts(executor: Executor):
    with pytest.raises(ValueError, match=r"the function .*<lambda> cannot be sent"):
        execute(lambda payload: payload, [Task("a", 1)], executor=executor)
    with pytest.raises(ValueError, match="the payload of task 'a' cannot be sent"):
        execute(side_by_side.divide, [Task("a", lambda: 1)], executor=executor)
    assert execute(lambda payload: payload, [Task("a", 1)]) == [Outcome("a", 1)]
    assert execute(side_by_side.divide, [], executor="processes") == []


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"tl-geometry\[cluster\]"):
        execute(side_by_side.divide, [Task("a", (1, 1))], executor="ray")


def test_one_process_at_a_time_holds_a_model_and_the_run_is_left_alone(tmp_path: Path):
    run = begun(tmp_path)
    before = (run / "spec.json").read_bytes()
    with open_model_record(run, "owner/tiny") as record:
        assert record.folder == run / "owner--tiny" and record.plan == {}
        record.set_plan({"batches": ((0, 1), (2,))})
        record.rows.append([{"key": "0"}])
        with (
            pytest.raises(FolderBusyError, match="owner--tiny is in use by process"),
            open_model_record(run, "owner/tiny", wait=0),
        ):
            pass
        with open_model_record(run, "owner/other") as other:
            assert other.plan == {} and other.rows.done == frozenset()
    left_over = run / "owner--tiny" / ".plan.json.0.partial"
    left_over.write_text("{")
    with open_model_record(run, "owner/tiny") as record:
        assert record.plan == {"batches": [[0, 1], [2]]}
        assert record.rows.done == {"0"} and not left_over.exists()
    assert (run / "spec.json").read_bytes() == before
    assert RowLog(run / "owner--tiny" / "rows.jsonl").done == {"0"}


def test_a_model_is_had_as_soon_as_a_process_that_was_given_up_lets_go(tmp_path: Path):
    run, held = begun(tmp_path), Event()

    def let_go_late() -> None:
        with open_model_record(run, "tiny"):
            held.set()
            time.sleep(0.7)

    thread = Thread(target=let_go_late)
    thread.start()
    held.wait(10)
    with open_model_record(run, "tiny", wait=30) as record:
        thread.join()
        assert record.rows.done == frozenset()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no run, or none that this machine sees"):
        open_model_record(tmp_path, "tiny").__enter__()
    assert list(tmp_path.iterdir()) == []
