"""Preference pairs and their ids: what is taken, what is dropped and counted, and what both models
of a pair read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny import tokenizer

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '[' + m.role + '] ' + m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(k: int, **other: Any) -> dict[str, Any]:
    return {"prompt": f"Ask {k}", "chosen": f"Good {k}", "rejected": f"Bad {k}", **other}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return save(tmp_path / "made.jsonl", [row(k, split="train") for k in range(20)])


def load(*args: Any) -> Any:
    from analyses.alignment_steering.preferences import load

    return load(*args)


def test_the_order_is_the_contents_and_not_the_files(made: Path, tmp_path: Path) -> None:
    shuffled = save(tmp_path / "other.jsonl", [row(k, split="train") for k in reversed(range(20))])
    names = [
        {pair.turns[0]["content"] for pair in load(str(path), "train", 5).pairs}
        for path in (made, made)
    ]
    assert names[0] == names[1] and len(names[0]) == 5
    assert len(load(str(shuffled), "train", 20).pairs) == 20


def test_fewer_are_a_part_of_more(made: Path) -> None:
    few, many = (load(str(made), "train", n).pairs for n in (5, 12))
    assert many[:5] == few


def test_what_is_dropped_is_counted_with_its_reason(tmp_path: Path) -> None:
    rows = [row(0), row(1, rejected="Good 1"), row(2, chosen=" "), row(3), row(3, chosen="More")]
    path = save(tmp_path / "x.jsonl", [{**r, "split": "train"} for r in rows])
    with pytest.raises(ValueError, match="9 preference pairs are asked for.* has 2 that can be"):
        load(str(path), "train", 9)
    found = load(str(path), "train", 2)
    assert {pair.turns[0]["content"] for pair in found.pairs} == {"Ask 0", "Ask 3"}
    reasons = {
        "both answers are the same",
        "an answer is empty",
        "another pair has the same prompt",
    }
    assert set(found.dropped) <= reasons


def test_splits_without_a_column_share_no_prompt(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jsonl", [row(k) for k in range(60)])
    train, test = (load(str(path), split, 4).pairs for split in ("train", "test"))
    assert not {p.prompt for p in train} & {p.prompt for p in test}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_are_read_as_jsonl_is(made: Path, suffix: str) -> None:
    import pandas as pd

    table, path = pd.read_json(made, lines=True), made.with_suffix(suffix)
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    same = [[(p.turns[0]["content"], p.chosen) for p in load(str(f), "train", 20).pairs]
            for f in (made, path)]  # fmt: skip
    assert sorted(same[0]) == sorted(same[1])


def test_a_file_without_a_column_is_refused_with_its_line(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jsonl", [{"prompt": "Ask", "chosen": "Good"}])
    with pytest.raises(ValueError, match="line 1: 'rejected' must be text"):
        load(str(path), "train", 1)


def test_unknown_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown preference pairs 'hh'"):
        load("hh", "train", 1)


def hh(*turns: str, answer: str) -> str:
    speakers = ("\n\nHuman: ", "\n\nAssistant: ")
    said = "".join(speakers[k % 2] + text for k, text in enumerate(turns))
    return f"{said}\n\nAssistant: {answer}"


def test_transcripts_part_in_their_final_turn() -> None:
    from analyses.alignment_steering.preferences import PreferencePair, parsed

    asked = ("Hi", "Hello.", "Why?")
    found = parsed(hh(*asked, answer="Because."), hh(*asked, answer="Go away.\nNow."))
    assert isinstance(found, PreferencePair)
    assert [t["role"] for t in found.turns] == ["user", "assistant", "user"]
    assert (found.chosen, found.rejected) == ("Because.", "Go away.\nNow.")
    other = hh("Ho", answer="Because.")
    assert parsed(hh("Hi", answer="Yes."), other) == "the two sides answer different prompts"
    assert parsed("\n\nHuman: Hi", other) == "no final assistant turn"


@pytest.mark.parametrize("lacking", [False, True])
def test_hh_rlhf_is_read_through_its_columns(
    monkeypatch: pytest.MonkeyPatch, lacking: bool
) -> None:
    class Table(dict[str, list[str]]):
        column_names = ["chosen"] if lacking else ["chosen", "rejected"]

    sides = {"chosen": [hh(f"Ask {k}", answer="Yes.") for k in range(6)] + ["broken"]}
    sides["rejected"] = [hh(f"Ask {k}", answer="No.") for k in range(6)] + ["broken"]
    home = "analyses.alignment_steering.preferences"
    monkeypatch.setattr(f"{home}._dataset", lambda split: Table(sides))
    if lacking:
        with pytest.raises(ValueError, match="no column 'rejected'"):
            load("hh-rlhf", "train", 6)
    else:
        assert len(load("hh-rlhf", "train", 6).pairs) == 6


def wording(form: str, template: str | None = TEMPLATE, pocket: bool = False) -> Any:
    import copy

    from analyses.alignment_steering.texts import Wording

    one = copy.deepcopy(tokenizer())
    one.chat_template = template
    return Wording(one, form, pocket=pocket)  # type: ignore[arg-type] # a str


ASKED: tuple[Mapping[str, str], ...] = ({"role": "user", "content": "Why?"},)


@pytest.mark.parametrize(
    ("form", "pocket", "prompt", "answer"),
    [
        ("chat", False, "<s>[user] Why?[assistant] ", "Because."),
        ("plain", False, "<s>Human: Why?\nAssistant:", " Because."),
        ("plain", True, "<s>Question: Why?\nAnswer:", " Because."),
    ],
)
def test_an_answer_ends_with_its_own_last_token(
    form: str, pocket: bool, prompt: str, answer: str
) -> None:
    one = wording(form, pocket=pocket)
    assert one.tokenizer.decode(one.prompt(ASKED)) == prompt
    assert one.tokenizer.decode(one.answer(ASKED, "Because.")) == answer


def test_chat_without_a_template_is_refused() -> None:
    with pytest.raises(ValueError, match="no chat template: use --format plain"):
        wording("chat", template=None)


def test_texts_that_are_too_long_are_counted(made: Path) -> None:
    from analyses.alignment_steering.texts import encoded

    pairs = load(str(made), "train", 20).pairs
    whole = encoded(wording("plain"), pairs, 100)
    assert len(whole.texts) == 20 and not whole.dropped
    assert encoded(wording("plain"), pairs, 10).dropped == {"longer than 10 tokens": 20}


def test_ids_that_mean_something_else_to_the_base_model_are_noticed(made: Path) -> None:
    from analyses.alignment_steering.texts import encoded, why_foreign

    one = wording("plain")
    texts = encoded(one, load(str(made), "train", 4).pairs, 100).texts

    class Other:
        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return ["?" for _ in ids]

    assert why_foreign(one.tokenizer, one.tokenizer, texts, 300) == ""
    assert "the vocabularies differ: token" in why_foreign(Other(), one.tokenizer, texts, 300)
    assert "no embedding" in why_foreign(one.tokenizer, one.tokenizer, texts, 3)
