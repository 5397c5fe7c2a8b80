"""The shipped banks: their shape, and everything on which their groups are said to be matched."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import mean

import pandas as pd
import pytest

from tl_geometry.prompts import CONTROLS, LEVELS, PLAIN, Prompt, load_bank
from tl_geometry.prompts.summary import summary_table
from tl_geometry.prompts.wording import (
    commands,
    ending,
    overlap,
    sentences,
    tail_variety,
    words,
)

PAGE = Path(__file__).parents[1] / "docs" / "prompts.md"


@pytest.fixture(scope="module")
def bank() -> tuple[Prompt, ...]:
    return load_bank("bank")


@pytest.fixture(scope="module")
def table(bank: tuple[Prompt, ...]) -> pd.DataFrame:
    return summary_table(bank).set_index("group")


@pytest.mark.parametrize(("name", "main", "control"), [("bank", 40, 24), ("pocket", 36, 24)])
def test_every_group_is_there_and_large_enough(name: str, main: int, control: int) -> None:
    sizes = Counter(prompt.group for prompt in load_bank(name))
    assert set(sizes) == {*LEVELS, *PLAIN, *CONTROLS}
    assert all(sizes[group] >= main for group in (*LEVELS, *PLAIN))
    assert all(sizes[group] >= control for group in CONTROLS)


@pytest.mark.parametrize("name", ["bank", "pocket"])
def test_every_prompt_has_the_window_and_more(name: str) -> None:
    assert min(len(prompt.text.split()) for prompt in load_bank(name)) >= 24


def test_no_prompt_is_longer_than_sixty_words(bank: tuple[Prompt, ...]) -> None:
    assert max(len(prompt.text.split()) for prompt in bank) <= 60


def test_levels_belong_to_recursive_prompts_only(bank: tuple[Prompt, ...]) -> None:
    assert {(p.group, p.level) for p in bank if p.kind == "recursive"} == set(LEVELS.items())
    assert {p.level for p in bank if p.kind != "recursive"} == {None}


def test_mean_length_is_the_same_in_every_group(table: pd.DataFrame) -> None:
    matched = table.drop("long_control")
    assert matched["words"].between(32.5, 35.5).all()
    assert matched["words_sd"].between(2.5, 5).all()
    assert table.at["long_control", "fewest"] >= 48


def test_length_does_not_rise_with_the_level(table: pd.DataFrame) -> None:
    by_level = table.loc[list(LEVELS), "words"]
    assert by_level.max() - by_level.min() < 1
    assert by_level["L5_refined"] <= by_level["L1_hint"] + 0.5


def test_all_groups_end_in_the_same_mixture_of_forms(table: pd.DataFrame) -> None:
    forms = table[["statement", "question", "imperative"]]
    assert (forms.max() - forms.min()).max() <= 0.03
    assert forms.min(axis=None) >= 0.3


def test_commands_stand_equally_often_on_both_sides(bank: tuple[Prompt, ...]) -> None:
    share = {
        kind: pd.Series([commands(p.text) for p in bank if p.kind == kind]).mean()
        for kind in ("recursive", "plain", "control")
    }
    assert max(share.values()) - min(share.values()) < 0.05
    assert 0.45 < share["recursive"] < 0.55


def test_last_sixteen_words_repeat_equally_little_on_both_sides(table: pd.DataFrame) -> None:
    variety = table.drop("repetitive_control")["tail_variety"]
    assert variety.between(0.94, 0.98).all()
    recursive, plain = (mean(variety[list(groups)]) for groups in (LEVELS, PLAIN))
    assert abs(recursive - plain) < 0.015
    assert table.at["repetitive_control", "tail_variety"] < 0.85


def test_no_single_tail_is_repetitive(bank: tuple[Prompt, ...]) -> None:
    assert all(tail_variety(p.text) >= 0.9 for p in bank if p.group != "repetitive_control")


def test_the_window_sees_one_sentence_equally_often(bank: tuple[Prompt, ...]) -> None:
    def short(group: str) -> float:
        last = [sentences(p.text)[-1].split() for p in bank if p.group == group]
        return sum(len(sentence) < 16 for sentence in last) / len(last)

    assert max(short(group) for group in (*LEVELS, *PLAIN)) <= 0.15


@pytest.mark.parametrize("n_words", [4, 8, 10])
def test_no_two_prompts_end_alike(bank: tuple[Prompt, ...], n_words: int) -> None:
    tails = Counter(tuple(words(prompt.text)[-n_words:]) for prompt in bank)
    assert [tail for tail, times in tails.items() if times > 1] == []


def test_few_prompts_of_a_group_begin_alike(bank: tuple[Prompt, ...]) -> None:
    heads = Counter((prompt.group, *words(prompt.text)[:3]) for prompt in bank)
    assert max(heads.values()) <= 3


def test_no_two_prompts_of_a_group_fill_in_one_template(table: pd.DataFrame) -> None:
    assert max(table["largest_overlap"]) <= 0.1


def test_no_six_words_stand_in_two_prompts(bank: tuple[Prompt, ...]) -> None:
    runs = Counter(
        run for p in bank for run in {*zip(*(words(p.text)[i:] for i in range(6)), strict=False)}
    )
    assert [run for run, times in runs.items() if times > 1] == []


def test_bank_is_plain_ascii_with_finished_sentences(bank: tuple[Prompt, ...]) -> None:
    assert all(p.text.isascii() and p.text == " ".join(p.text.split()) for p in bank)
    assert all(p.text.endswith((".", "?")) for p in bank)


def test_page_shows_the_measured_table(table: pd.DataFrame) -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    shown = {row[0].strip("`"): row[1:] for row in cells if row[0].strip("`") in table.index}
    columns = ["n", "words", "words_sd", "last_sentence_words", "tail_variety"]
    assert set(shown) == set(table.index)
    for group, row in shown.items():
        printed = [float(cell) for cell in row[:5]]
        measured = table.loc[group, columns].astype(float)
        assert printed == pytest.approx(measured.tolist(), abs=0.0501), group
        assert printed[4] == pytest.approx(measured["tail_variety"], abs=0.000501), group
        assert row[5] == " / ".join(
            f"{100 * table.loc[group, form]:.0f}"
            for form in ("statement", "question", "imperative")
        )
        assert float(row[6]) == pytest.approx(100 * table.loc[group, "commands"], abs=0.51)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Rain fell. Describe the street.", "imperative"),
        ("Describe the street. Rain fell.", "statement"),
        ("Rain fell. What is left?", "question"),
        ('He asked, "What is left?"', "question"),
        ("Describe it? Tell me why?", "question"),
        ("The descriptions were short.", "statement"),
    ],
)
def test_ending_is_the_form_of_the_last_sentence(text: str, form: str) -> None:
    assert ending(text) == form


def test_tail_variety_by_hand() -> None:
    assert tail_variety("The cat saw the dog.") == pytest.approx(4 / 5)
    assert tail_variety("and " * 20) == pytest.approx(1 / 16)
    assert tail_variety("A a a b c", n_words=2) == 1
    with pytest.raises(ValueError, match="without words"):
        tail_variety(" ... ")


def test_overlap_by_hand() -> None:
    # Trigrams abc, bcd against bcd, cde: one of three is shared.
    assert overlap("a b c d", "b c d e") == pytest.approx(1 / 3)
    assert overlap("a b c", "A, b; c.") == 1
    assert overlap("a b", "a b") == 0


def test_importing_the_banks_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'pandas', 'scipy'}"
    code = f"import sys, tl_geometry.prompts; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
