"""A user's own files: what is read, and which line the error points at."""

import json
import re
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_geometry.prompts import Pair, Prompt, content_hash, load_bank, load_pairs

GOOD = {"id": "a", "group": "L2_simple", "text": "Watch this line."}
OTHER = {"id": "b", "group": "factual", "text": "Iron rusts."}


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
    return path


def test_kind_and_level_follow_from_a_shipped_group(tmp_path: Path) -> None:
    bank = load_bank(written(tmp_path / "mine.jsonl", GOOD, "", OTHER))
    assert bank == (
        Prompt("a", "L2_simple", "recursive", 2, "Watch this line."),
        Prompt("b", "factual", "plain", None, "Iron rusts."),
    )


def test_csv_and_jsonl_of_one_bank_are_the_same_prompts(tmp_path: Path) -> None:
    import pandas as pd

    bank = load_bank("bank")
    # pandas writes the levels as 1.0 and gaps as empty cells.
    pd.DataFrame([vars(p) for p in bank]).to_csv(tmp_path / "mine.csv", index=False)
    again = load_bank(str(tmp_path / "mine.csv"))
    assert again == bank
    assert content_hash(again) == content_hash(bank)


def test_own_groups_and_surplus_columns_are_welcome(tmp_path: Path) -> None:
    rows = ("id,group,kind,text,source", 'x,mine,plain,"One, two.",web')
    assert load_bank(written(tmp_path / "m.csv", *rows)) == (
        Prompt("x", "mine", "plain", None, "One, two."),
    )


def test_a_byte_order_mark_of_utf8_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes('\ufeffid,group,text\r\nx,factual,"Caf\u00e9\r\nnoir."\r\n'.encode())
    assert load_bank(path) == (Prompt("x", "factual", "plain", None, "Caf\u00e9\r\nnoir."),)


BAD_LINES = [
    ('{"id": "b", ', "not JSON: .* one JSON object a line"),
    ([1, 2], "a JSON object is wanted, got list"),
    ({"id": "b", "group": "factual"}, "the field 'text' is missing"),
    (OTHER | {"text": "  "}, "'text' must be text, got '  '"),
    (OTHER | {"id": 7}, "'id' must be text, got 7"),
    (OTHER | {"id": "a"}, "the id 'a' stands on line 1 already"),
    (OTHER | {"text": "Watch  this line. "}, "the text of 'b' stands on line 1 already"),
    (OTHER | {"group": "mine"}, "the group 'mine' is not a shipped one .* 'kind'"),
    (OTHER | {"group": "mine", "kind": "odd"}, "kind 'odd' is unknown; use one of recursive"),
    (OTHER | {"kind": "recursive"}, "'factual' is plain, but kind says 'recursive'"),
    (OTHER | {"level": 2}, "level 2 of a plain prompt"),
    (OTHER | {"group": "L3_deeper", "level": 6}, "level 6 of a recursive prompt"),
    (OTHER | {"group": "L3_deeper", "level": True}, "level True of a recursive prompt"),
    (OTHER | {"group": "L3_deeper", "level": 4}, "'L3_deeper' is level 3, but level says 4"),
    (OTHER | {"text": "half \ud83d"}, "half a character"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_malformed_line_is_refused_with_its_number(
    tmp_path: Path, line: object, message: str
) -> None:
    with pytest.raises(ValueError, match=f"mine.jsonl, line 3: .*{message}"):
        load_bank(written(tmp_path / "mine.jsonl", GOOD, "", line))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("y,factual", "line 4: 2 cells under 3 columns"),
        ("y,factual,One, two.", "line 4: 4 cells under 3 columns"),
        ("y,factual,", "line 4: 'text' must be text"),
        ('y,factual,"One', "line 4: not CSV"),
        ("x,factual,One.", "line 4: the id 'x' stands on line 2 already"),
    ],
)
def test_lines_of_a_table_are_counted_in_the_file(tmp_path: Path, row: str, message: str) -> None:
    # The first row goes over two lines, so the second begins on line 4.
    path = written(tmp_path / "mine.csv", "id,group,text", 'x,factual,"Over\ntwo lines."', row)
    with pytest.raises(ValueError, match=message):
        load_bank(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,group,text\nx,factual,caf\xe9\n", "line 2: byte 0xe9 is not UTF-8; save the file"),
        ("id,group,text\n".encode("utf-16"), "UTF-16; save the file as UTF-8"),
        (b"", "is empty; write at least one"),
        (b"id,group,text\n", "a header and no prompts"),
        (b"id,id,text\nx,x,One.\n", "line 1: a column is named twice"),
        (b"id,text\nx,One.\n", "line 2: the field 'group' is missing"),
    ],
)
def test_a_file_as_a_whole_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_bank(tmp_path / "mine.csv")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bnak", r"no bank is called 'bnak' \(did you mean 'bank'\?\): shipped are bank, pocket"),
        ("nowhere.jsonl", "there is no file nowhere.jsonl"),
        ("bank.xlsx", "bank.xlsx is neither .jsonl nor .csv"),
    ],
)
def test_an_unknown_bank_is_refused_with_what_there_is(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_bank(name)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_any_text_survives_the_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "mine.jsonl"
    path.write_text(
        json.dumps(GOOD | {"text": text}, ensure_ascii=False) + "\n", "utf-8", newline=""
    )
    assert load_bank(path)[0].text == text


def test_hash_ignores_order_and_sees_every_field() -> None:
    bank = load_bank("bank")
    assert content_hash(bank[::-1]) == content_hash(bank)
    first = bank[0]
    changes = {
        "id": "new",
        "group": "mine",
        "kind": "control",
        "level": 2,
        "text": first.text + " ",
    }
    others = {
        content_hash((replace(first, **{field: value}), *bank[1:]))
        for field, value in changes.items()
    }
    assert len(others | {content_hash(bank)}) == len(astuple(first)) + 1
    assert content_hash(bank[1:]) not in others


def test_pairs_by_id_are_the_prompts_of_the_bank(tmp_path: Path) -> None:
    bank = load_bank("bank")
    rows = ("base_id,rec_id,note", "narrative_01,L4_full_02,x", "meditation_03,L1_hint_05,")
    found = load_pairs(written(tmp_path / "p.csv", *rows), bank)
    by_id = {p.id: p for p in bank}
    assert found == (
        Pair(target=by_id["narrative_01"], donor=by_id["L4_full_02"]),
        Pair(target=by_id["meditation_03"], donor=by_id["L1_hint_05"]),
    )


def test_pairs_by_text_are_found_in_the_bank_or_made(tmp_path: Path) -> None:
    known = load_bank("bank")[0]
    rows = ("base_text,rec_text", f'A new plain text.,"{known.text}"')
    (pair,) = load_pairs(written(tmp_path / "p.csv", *rows), load_bank("bank"))
    assert pair.donor == known
    assert (pair.target.text, pair.target.kind) == ("A new plain text.", "plain")
    assert re.fullmatch("user-[0-9a-f]{12}", pair.target.id)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("base_id,rec_id", "narrative_99,L4_full_03", r"no id 'narrative_99'; did you mean narr"),
        ("base_id,rec_id", "xyz,L4_full_03", "no id 'xyz'; check it against the bank"),
        ("base_id,rec_id", "narrative_02,", "'rec_id' must be text"),
        ("base_id,rec_id", "narrative_01,L4_full_03", "'narrative_01' stands on line 2 already"),
        ("base_id,rec_id", "narrative_02,L4_full_01", "'L4_full_01' stands on line 2 already"),
        ("base_id,rec_id", "meditation_01,meditation_01", "'meditation_01' stands on line 3 alr"),
        (
            "base_id,rec_id",
            "L4_full_03,narrative_02",
            "which is recursive; .* swap the two columns",
        ),
    ],
)
def test_a_malformed_pair_is_refused_with_its_line(
    tmp_path: Path, header: str, row: str, message: str
) -> None:
    path = written(tmp_path / "p.csv", header, "narrative_01,L4_full_01", row)
    with pytest.raises(ValueError, match=f"p.csv, line 3: .*{message}"):
        load_pairs(path, load_bank("bank"))


@pytest.mark.parametrize("header", ["base,rec", "base_id,rec_text", "base_text,base_id"])
def test_other_columns_are_refused_with_the_wanted_ones(tmp_path: Path, header: str) -> None:
    with pytest.raises(ValueError, match="base_id,rec_id or base_text,rec_text are wanted"):
        load_pairs(written(tmp_path / "p.csv", header, "x,y"), load_bank("bank"))


def test_ids_and_texts_together_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", "base_id,rec_id,base_text,rec_text", "a,b,c,d")
    with pytest.raises(ValueError, match="one of the two"):
        load_pairs(path, load_bank("bank"))


def test_a_text_used_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "p.csv", "base_text,rec_text", "One.,Two.", "One. ,Three.")
    with pytest.raises(ValueError, match="line 3: .* stands on line 2 already"):
        load_pairs(path, load_bank("bank"))


def test_pairs_are_read_from_csv_with_rows_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a header and no pairs"):
        load_pairs(written(tmp_path / "p.csv", "base_id,rec_id"), load_bank("bank"))
    with pytest.raises(ValueError, match="read from a .csv file"):
        load_pairs(tmp_path / "p.jsonl", load_bank("bank"))
