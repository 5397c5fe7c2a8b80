"""`similarity` before any model is loaded: curves read from steered runs, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from similarity_runs import N, opened, program, steered

from figures.rows import records, select


@pytest.mark.parametrize("name", [None, "mine"])
def test_a_transfer_curve_is_the_best_coherent_natural_vector(
    name: str | None, tmp_path: Path
) -> None:
    from analyses.model_diff.similarity_transfer import named_runs, transfer_table

    steered(tmp_path, "evil", name)
    plan = opened(tmp_path / "x", steered=(name,) if name else ())
    whole = transfer_table(plan, named_runs(plan))
    table = select(whole, trait="evil")
    good = select(table, status="ok")
    assert good["layer"].tolist() == [9, 12, 15, 18]
    assert good["delta"].tolist() == [20.0, 35.0, 30.0, 10.0]
    assert set(good["set"]) == {"natural response[:5] mean_diff"}
    (gone,) = records(select(table, status="missing"))
    assert gone["layer"] == 19 and "coherence of 70" in gone["reason"]
    (other,) = records(select(whole, trait="sycophancy"))
    assert other["status"] == "missing" and "sycophancy was not steered" in other["reason"]


@pytest.mark.parametrize(("other", "marked"), [("a", False), ("b", True)])
def test_curves_of_two_judges_are_marked(other: str, marked: bool, tmp_path: Path) -> None:
    from analyses.model_diff.similarity_summary import _judges
    from analyses.model_diff.similarity_transfer import Found, named_runs, read_from, transfer_table

    steered(tmp_path, "evil", "one")
    steered(tmp_path, "sycophancy", "two", judge=other * 64)
    plan = opened(tmp_path / "x", steered=("one", "two"))
    table = transfer_table(plan, named_runs(plan))
    assert set(select(table, trait="sycophancy")["judge"]) == {other * 64}
    told = read_from(table, Found(None, "none"))["steer"]
    assert {trait: row["run"] for trait, row in told.items()} == {
        "evil": "one",
        "sycophancy": "two",
    }
    assert len(list(_judges(table))) == marked


def test_steered_runs_of_one_trait_twice_are_refused(tmp_path: Path) -> None:
    from analyses.model_diff.similarity_transfer import named_runs

    for name in ("one", "two"):
        steered(tmp_path, "evil", name)
    with pytest.raises(ValueError, match="--steered two: name one run for each"):
        named_runs(opened(tmp_path / "x", steered=("one", "two")))


def test_tokens_of_another_meaning_are_refused_before_anything_is_loaded(
    tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    from tl_geometry.catalogue import MODELS

    other = tmp_path / "other"
    shutil.copytree(MODELS["pocket-llama-base"].source, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    vocab["x"], vocab["y"] = vocab["y"], vocab["x"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    start = program("--base", other, "--run", "o", out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 2 and start.loaded == () and not (tmp_path / "o").exists()
    assert "2 tokens of pocket-llama are others" in start.log and "'x'" in start.log


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    from tl_geometry.catalogue import MODELS

    plain = tmp_path / "plain"
    shutil.copytree(MODELS["pocket-llama"].source, plain)
    (plain / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="plain has no chat template"):
        opened(tmp_path / "x", models=(str(plain),), base="pocket-llama-base")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--limit", "1"), "another prompt"),
        (("--coverage", "0"), "share of the answers"),
        (("--traits", "evil", "evil"), "each once"),
        (("--steered", "nowhere"), "no finished run of `steer`"),
        (("--weights", "nowhere"), "no finished run of `weights`"),
        (("--trait", "evil"), "--traits"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    options: tuple[str, ...], sentence: str, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    start = program(*options, "--run", "n", out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 2 and sentence in start.log
    assert start.loaded == () and not (tmp_path / "n").exists()


def test_a_dry_run_says_what_it_costs_and_loads_nothing(
    tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    start = program("--dry-run", out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 0 and start.loaded == () and not list(tmp_path.iterdir())
    assert f"answers {N} prompts with at most 16 tokens" in start.out
