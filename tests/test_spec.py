"""The key of a run: the same for ever for the same settings, another for any other setting."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_geometry.runs.canonical import canonical_json, differences, digest, plain
from tl_geometry.runs.spec import NOT_IN_KEY, Spec

MODEL = {"name": "tiny", "source": "owner/tiny", "revision": "0123abc"}


def spec(**changes: Any) -> Spec:
    settings: dict[str, Any] = {
        "analysis": "homeostasis",
        "step": "measure",
        "version": 1,
        "model": MODEL,
        "dtype": "float32",
        "prompts_hash": "ab12",
        "parameters": {"window": 16, "depth": 27 / 32, "conditions": ["patched", "self"]},
    }
    return Spec(**{**settings, **changes})


def test_the_key_of_a_known_spec_never_changes():
    # Computed once by `sha256sum` of the text below. Another value here orphans every record.
    text = (
        '{"analysis":"homeostasis","dtype":"float32","model":{"name":"tiny","revision":"0123abc",'
        '"source":"owner/tiny"},"parameters":{"conditions":["patched","self"],"depth":0.84375,'
        '"window":16},"prompts_hash":"ab12","quantization":"none","step":"measure","version":1}'
    )
    assert canonical_json(spec().as_dict()) == text
    assert spec().key == "c6171a32b140f076da8abff6de50698de6f53835c854bfce0729c50db43cfe66"


@pytest.mark.parametrize(
    "changed",
    [
        {"analysis": "other"},
        {"step": "steer"},
        {"version": 2},
        {"model": {**MODEL, "revision": "4567def"}},
        {"model": (MODEL, {**MODEL, "name": "other"})},
        {"dtype": "bfloat16"},
        {"quantization": "int8"},
        {"prompts_hash": "cd34"},
        {"parameters": {"window": 17}},
        {"parameters": {}},
    ],
)
def test_every_field_changes_the_key(changed):
    assert replace(spec(), **changed).key != spec().key


def test_all_fields_have_been_changed_above():
    assert {f.name for f in fields(Spec)} == {
        "analysis",
        "step",
        "version",
        "model",
        "dtype",
        "quantization",
        "prompts_hash",
        "parameters",
    }


def test_order_and_kind_of_container_do_not_change_the_key():
    parameters = {"conditions": ("patched", "self"), "depth": np.float64(27 / 32), "window": 16}
    model = dict(reversed(MODEL.items()))
    assert spec(parameters=parameters, model=model) == spec()
    assert spec(parameters=parameters, model=model).key == spec().key


@pytest.mark.parametrize("name", sorted(NOT_IN_KEY))
def test_where_and_how_to_compute_is_kept_out_of_the_key(name):
    with pytest.raises(ValueError, match=f"{name}.*change no number"):
        spec(parameters={name: 1})


def test_device_batch_size_executor_and_folder_are_among_them():
    assert {"device", "batch_size", "executor", "out"} <= NOT_IN_KEY


def test_a_mapping_that_changes_later_does_not_change_the_key():
    parameters = {"layers": [1, 2]}
    made = spec(parameters=parameters)
    parameters["layers"].append(3)
    assert made.key == spec(parameters={"layers": [1, 2]}).key


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dose": float("nan")}, r"parameters\.dose is nan: only finite"),
        ({"doses": [1.0, float("inf")]}, r"parameters\.doses\[1\] is inf"),
        ({"layers": {1, 2}}, r"parameters\.layers is a set"),
        ({"by_layer": {3: "x"}}, r"parameters\.by_layer has the key 3"),
        ({"draw": {"rng": object()}}, r"parameters\.draw\.rng is a object"),
        ({"text": b"bytes"}, "is a bytes"),
    ],
)
def test_what_json_cannot_say_exactly_is_refused_with_its_place(parameters, message):
    with pytest.raises(ValueError, match=message):
        spec(parameters=parameters)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "tiny", "source": "owner/tiny"}, "model.revision is None"),
        ({**MODEL, "revision": ""}, "model.revision is ''"),
        ({**MODEL, "source": "/models/tiny"}, "is the path /models/tiny"),
    ],
)
def test_a_model_without_identity_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        spec(model=model)
    with pytest.raises(ValueError, match=message):
        spec(model=(MODEL, model))


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=8)


@given(values)
def test_plain_values_are_left_alone_and_equal_only_themselves(value):
    assert plain(value) == value
    assert differences(value, value) == []
    assert canonical_json(value).isascii()


@given(values, values)
def test_equal_digests_mean_no_difference(first, second):
    same = canonical_json(first) == canonical_json(second)
    assert (digest(first) == digest(second)) == same
    assert (differences(first, second) == []) == same


def test_numpy_values_become_exact_python_values():
    made = plain(
        {"a": np.float32(0.1), "b": np.arange(3), "c": np.bool_(True), "d": np.float64(0.1)}
    )
    assert made == {"a": float(np.float32(0.1)), "b": [0, 1, 2], "c": True, "d": 0.1}
    assert [type(v) for v in made.values()] == [float, list, bool, float]


def test_differences_name_the_field_and_both_values():
    old, new = (
        spec().as_dict(),
        spec(version=2, parameters={"window": 24, "new": "x" * 99}).as_dict(),
    )
    assert differences(old, new) == [
        'parameters.conditions: ["patched", "self"] → (absent)',
        "parameters.depth: 0.84375 → (absent)",
        'parameters.new: (absent) → "' + "x" * 58 + "…",
        "parameters.window: 16 → 24",
        "version: 1 → 2",
    ]
