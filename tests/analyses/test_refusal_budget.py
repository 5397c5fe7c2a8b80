"""A sweep that its budget stops: what is kept, what is said, and how it goes on."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from refusal_runs import quickly
from small_runs import frame, rows, tables

from analyses import budget
from analyses.budget import SPENT, Limit
from analyses.ledger import LEDGER, Account
from figures.rows import select

OK, BAD_INPUT, SOME_FAILED = 0, 2, 3
TEMPLATE = (
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
    "{% if add_generation_prompt %} <answer>{% endif %}"
)
SMALL = (
    "--dim-prompts 8 --cosmic-prompts 8 --selection-prompts 4 --validation-prompts 4 "
    "--test-prompts 4 --new-tokens 4 --search-tokens 4 --positions 1 --doses 0.05 --methods dim "
    "--depths 0.4 --random-directions 0 --batch-size 4 --skip-verification --one-round --run x"
)
HOUR = 3600.0


@dataclass
class Ticking:
    """A clock on which everything between two looks at it takes an hour."""

    time: float = 1_767_268_800.0

    def __call__(self) -> float:
        self.time += HOUR
        return self.time


@pytest.fixture(scope="module")
def models(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The tiny model with a chat template, twice."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("chat")
    shutil.copytree(checkpoint, folder / "tiny")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "tiny")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "tiny")
    shutil.copytree(folder / "tiny", folder / "other")
    return str(folder / "tiny"), str(folder / "other")


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with quickly():
        yield


def options(out: Path, models: tuple[str, ...], *more: object) -> list[str]:
    given = ["families", *SMALL.split(), "--out", str(out), "--models", *models]
    return [*given, *map(str, more)]


@pytest.fixture(scope="module")
def whole(models: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a budget; only to be read."""
    from analyses.refusal.__main__ import main

    out = tmp_path_factory.mktemp("whole")
    assert main(options(out, models)) == OK
    return out / "x"


@dataclass(frozen=True)
class Start:
    status: int
    log: str


@dataclass(frozen=True)
class Program:
    out: Path
    models: tuple[str, ...]
    caplog: pytest.LogCaptureFixture

    def __call__(self, *more: object) -> Start:
        from analyses.refusal.__main__ import main

        self.caplog.clear()
        with self.caplog.at_level(logging.INFO):
            try:
                status = main(options(self.out, self.models, *more))
            except SystemExit as stop:
                status = int(str(stop.code))
        return Start(status, "\n".join(record.getMessage() for record in self.caplog.records))

    @property
    def run(self) -> Path:
        return self.out / "x"

    @property
    def hours(self) -> list[float]:
        """Of each start, by the ledger."""
        lines = (self.run / LEDGER).read_text().splitlines()
        return [json.loads(line)["seconds"] / HOUR for line in lines]


def untimed(run: Path, model: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(run, model)]


@pytest.fixture
def program(
    tmp_path: Path, models: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> Iterator[Program]:
    yield Program(tmp_path / "runs", models, caplog)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "now", Ticking())
    monkeypatch.setattr("analyses.ledger.Account.warn", lambda _: None)


@pytest.mark.usefixtures("ticking")
def test_a_run_in_many_small_budgets_ends_with_the_same_bytes(
    program: Program, whole: Path
) -> None:
    allowed, starts = 0, []
    while not starts or starts[-1].status != OK:
        allowed += 15
        starts.append(program("--max-hours", allowed))
        assert starts[-1].status in (OK, SOME_FAILED) and len(starts) < 12
    assert len(starts) > 2
    assert tables(program.run) == tables(whole)
    for model in ("tiny", "other"):
        assert untimed(program.run, model) == untimed(whole, model)
    assert len(program.hours) == len(starts)
    for k, start in enumerate(starts[:-1], start=1):
        # What comes behind the deadline: a look at the clock for every model, a sentence, the end.
        assert 15 * k <= sum(program.hours[:k]) <= 15 * k + 4
        assert f"the budget is spent, {sum(program.hours[:k]) - 1:.2f} of {15 * k:.2f}" in start.log
        assert "the same command with a larger budget goes on from there" in start.log


@pytest.mark.usefixtures("ticking")
def test_a_model_that_is_finished_has_its_tables_and_the_other_is_missing(
    program: Program, whole: Path
) -> None:
    assert Program(program.out, program.models[:1], program.caplog)("--run", "one").status == OK
    shutil.copytree(program.out / "one", program.run)
    hours = program.hours[0]
    shutil.rmtree(program.run)
    start = program("--max-hours", hours + 3)
    assert start.status == SOME_FAILED
    missing = frame(program.run, "missing").query("what == 'model'")
    assert missing[["id", "reason"]].values.tolist() == [["other", SPENT]]
    for name in ("verdicts", "conditions", "samples"):
        expected = select(frame(whole, name), model="tiny").reset_index(drop=True)
        pd.testing.assert_frame_equal(frame(program.run, name), expected, check_dtype=False)
    assert "other: budget spent" in start.log and "failed" not in start.log
    assert "other of 2 models is not wholly measured" in start.log
    assert rows(program.run, "other")  # what was measured of it
    assert program("--max-hours", 1000).status == OK
    assert tables(program.run) == tables(whole)


@pytest.mark.usefixtures("ticking")
def test_what_an_earlier_step_cost_counts_for_the_total(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgeted = ("--hourly-rate", 2, "--max-total-cost")
    other = program.out / "verify-y"
    other.mkdir(parents=True)
    line = {"step": "verify", "start": "2025-01-01T00:00:00+00:00", "seconds": 49.5 * HOUR}
    (other / LEDGER).write_text(json.dumps({**line, "usd": None, "hourly_rate": None}) + "\n")
    monkeypatch.setattr("analyses.requested.load_model", None)  # nothing is loaded any more
    start = program(*budgeted, 100)
    assert start.status == SOME_FAILED and "tiny, other of 2 models are not" in start.log
    assert "of $100.00 (--max-total-cost)" in start.log and "Traceback" not in start.log
    assert not (program.run / "summary.json").exists()


def test_a_finished_run_needs_no_budget(program: Program, whole: Path) -> None:
    shutil.copytree(whole, program.run)
    start = program("--max-hours", 1e-9)
    assert start.status == OK and "budget" not in start.log
    assert tables(program.run) == tables(whole)


def test_worker_processes_stop_at_the_same_moment(program: Program) -> None:
    start = program("--max-hours", 1e-9, "--executor", "processes", "--workers", 1)
    assert start.status == SOME_FAILED
    assert "tiny: budget spent" in start.log and "other: budget spent" in start.log
    assert not list(program.run.glob("*/rows.jsonl"))


def test_a_budget_without_a_price_is_refused(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program("--max-cost", 5).status == BAD_INPUT
    assert "--max-cost needs the price of an hour: add --hourly-rate" in capsys.readouterr().err
    assert not program.out.exists()


# --- advice ---------------------------------------------------------------------------------------


def sentence(failed: list[str], verdicts: dict[str, list[str]], **changes: Any) -> str:
    from analyses.refusal.advice import stopped
    from analyses.refusal.config import Families
    from analyses.refusal.plan import make_plan
    from analyses.requested import ModelPlan
    from tl_geometry.catalogue import MODELS, ModelSize

    names = ("gemma-2-9b", "phi-3.5-mini", "llama-3-8b", "mistral-7b-v0.3")
    plan = make_plan(Families(models=("pocket-mistral",)))
    size = plan.models[0].size
    assert isinstance(size, ModelSize)
    known = [
        ModelPlan(n, MODELS[n], replace(size, parameters=int(1e9 * (MODELS[n].billions or 0))), "r")
        for n in changes.pop("models", names)
    ]
    chosen = tuple(model.name for model in known)
    plan = replace(plan, models=tuple(known), config=Families(models=chosen, **changes))
    account = Account(budget.now(), [Limit("--max-cost", "$", 30, 30.5, 1.1)])
    table = pd.DataFrame([{"model": m, "verdict": v} for m, vs in verdicts.items() for v in vs])
    return stopped(plan, dict.fromkeys(failed, SPENT), account, table if verdicts else None)


def test_the_plan_s_order_of_cuts_is_said_for_this_run() -> None:
    said = sentence(
        ["phi-3.5-mini", "mistral-7b-v0.3"],
        {"gemma-2-9b": ["fails"], "llama-3-8b": ["fails", "breakdown"]},
    )
    assert "\n" not in said and "phi-3.5-mini, mistral-7b-v0.3 of 4 models are not" in said
    assert "the budget is spent, $30.50 of $30.00 (--max-cost)" in said
    order = [
        "(1) leave llama-3-8b out of all further steps (low priority, and fails)",
        "(2) 30 instead of 50 test prompts: --limit 30",
        "(3) the largest models last: --models phi-3.5-mini mistral-7b-v0.3 llama-3-8b gemma-2-9b",
    ]
    places = [said.index(cut) for cut in order]
    assert places == sorted(places)


def test_cuts_that_do_not_apply_are_not_advised() -> None:
    both = {"llama-3-8b": ["fails", "works"], "gemma-2-9b": ["fails"]}
    assert "out of all further steps" not in sentence(["mistral-7b-v0.3"], both)
    assert "leave out mistral-7b-v0.3 (low priority)" in sentence(["mistral-7b-v0.3"], both)
    assert "test prompts" not in sentence(["gemma-2-9b"], {}, limit=30)
    said = sentence(["phi-3.5-mini", "gemma-2-9b"], {}, models=("phi-3.5-mini", "gemma-2-9b"))
    assert "largest models last" not in said and "leave out the largest, gemma-2-9b" in said
    alone = sentence(["gemma-2-9b"], {}, models=("gemma-2-9b",), limit=5)
    assert alone.endswith("goes on from there.")
