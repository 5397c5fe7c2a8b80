"""Files of exported directions: what they hold, and what cannot be written or read."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_directions import D, direction, steering_vectors_or_skip
from torch import Tensor

from tl_geometry.directions import Direction
from tl_geometry.exports import (
    from_steering_vectors,
    load_gguf,
    save_gguf,
    save_lm_eval,
    to_steering_vectors,
)


@pytest.fixture
def steering_vectors() -> Any:
    return steering_vectors_or_skip()


# What the files hold.


def test_a_control_vector_has_the_names_that_its_readers_look_for(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="an extra: interop")
    save_gguf([direction(3), direction(2)], tmp_path / "vector.gguf", "mistral")
    reader = gguf.GGUFReader(tmp_path / "vector.gguf")

    def value(name: str) -> Any:
        return reader.get_field(name).parts[-1]

    assert bytes(value("general.architecture")) == b"controlvector"
    assert bytes(value("controlvector.model_hint")) == b"mistral"
    assert value("controlvector.layer_count").tolist() == [2]
    kinds = [(t.name, t.tensor_type.name, t.shape.tolist()) for t in reader.tensors]
    assert kinds == [("direction.1", "F32", [D]), ("direction.2", "F32", [D])]


def test_control_vectors_come_back_bit_by_bit(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="an extra: interop")
    several = [direction(5), direction(2)]
    save_gguf(several, tmp_path / "vector.gguf", "mistral")
    back = load_gguf(tmp_path / "vector.gguf", position=-2)
    assert [one.layer for one in back] == [2, 5]
    assert torch.equal(back[0].vector, several[1].vector)
    assert torch.equal(back[1].vector, several[0].vector)
    assert {one.position for one in back} == {-2}
    assert back[0].provenance["model_hint"] == "mistral"


def test_steering_vectors_come_back_bit_by_bit(steering_vectors: Any) -> None:
    several = [direction(5), direction(1)]
    exported = to_steering_vectors(several)
    assert isinstance(exported, steering_vectors.SteeringVector)
    assert sorted(exported.layer_activations) == [0, 4]
    assert exported.layer_type == "decoder_block"
    back = from_steering_vectors(exported)
    assert [one.layer for one in back] == [1, 5]
    assert torch.equal(back[0].vector, several[1].vector)
    assert torch.equal(back[1].vector, several[0].vector)


def test_a_harness_file_has_exactly_the_keys_of_the_harness(tmp_path: Path) -> None:
    several = [direction(5, reference=torch.ones(D)), direction(2)]
    save_lm_eval(several, tmp_path / "steer.pt", 2)
    held = torch.load(tmp_path / "steer.pt", weights_only=True)
    assert list(held) == ["layers.1", "layers.4"]
    assert torch.equal(held["layers.4"].pop("steering_vector"), several[0].vector)
    others = {"steering_coefficient": 2.0, "action": "add", "bias": None, "head_index": None}
    assert held["layers.4"] == others


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_vector_alone_is_written_at_its_length_in_float32(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    rows = torch.randn(4, D, dtype=dtype)
    # A row of a large tensor: saved as it is, it would bring the whole along.
    save_lm_eval(Direction(rows[2], 3, -1, "dim"), tmp_path / "steer.pt", 1.0)
    vector = torch.load(tmp_path / "steer.pt")["layers.2"]["steering_vector"]
    assert vector.dtype == torch.float32 and torch.equal(vector, rows[2].float())
    assert vector.untyped_storage().nbytes() == 4 * D


# What cannot be written or read.

Export = Callable[[Any, Path], object]
EXPORTS: dict[str, Export] = {
    "steering-vectors": lambda given, folder: to_steering_vectors(given),
    "gguf": lambda given, folder: save_gguf(given, folder / "x.gguf", "mistral"),
    "lm-eval": lambda given, folder: save_lm_eval(given, folder / "x.pt", 1.0),
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_what_no_block_puts_out_or_is_ambiguous_is_refused(export: Export, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="state 0 .* embeddings"):
        export([direction(2), direction(0)], tmp_path)
    with pytest.raises(ValueError, match="one direction a state"):
        export([direction(2), direction(2)], tmp_path)
    with pytest.raises(ValueError, match="no directions"):
        export([], tmp_path)
    with pytest.raises(ValueError, match="equally wide"):
        export([direction(2), Direction(torch.ones(3), 3, -1, "dim")], tmp_path)
    assert not list(tmp_path.iterdir())


def test_control_vectors_that_a_reader_would_refuse_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="llama.cpp"):
        save_gguf(direction(1), tmp_path / "x.gguf", "mistral")
    with pytest.raises(ValueError, match="model type"):
        save_gguf(direction(2), tmp_path / "x.gguf", "")
    assert not list(tmp_path.iterdir())


def test_harness_files_that_it_would_refuse_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.pt"):
        save_lm_eval(direction(1), tmp_path / "steer.bin", 1.0)
    unknown: Any = "multiply"
    with pytest.raises((ValueError, TypeError), match="multiply"):
        save_lm_eval(direction(1), tmp_path / "steer.pt", 1.0, unknown)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_control_vectors_are_refused(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="an extra: interop")

    def write(architecture: str, tensor: Tensor) -> Path:
        writer = gguf.GGUFWriter(tmp_path / "x.gguf", architecture)
        writer.add_tensor("direction.2", tensor.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / "x.gguf"

    with pytest.raises(ValueError, match="'llama', no control vector"):
        load_gguf(write("llama", torch.ones(D)))
    with pytest.raises(ValueError, match="direction.2.*float32"):
        load_gguf(write("controlvector", torch.ones(D).half()))
    [one] = load_gguf(write("controlvector", torch.ones(D)))  # of a tool that gives no hint
    assert one.layer == 3 and one.provenance["model_hint"] is None


def test_vectors_of_other_places_than_the_residual_stream_are_refused(
    steering_vectors: Any,
) -> None:
    with pytest.raises(ValueError, match="'mlp'"):
        from_steering_vectors(steering_vectors.SteeringVector({1: torch.ones(D)}, "mlp"))
    with pytest.raises(ValueError, match=r"\[-1\].*from the end"):
        from_steering_vectors(steering_vectors.SteeringVector({-1: torch.ones(D)}))


@pytest.mark.parametrize(
    ("package", "export"), [("gguf", "gguf"), ("steering_vectors", "steering-vectors")]
)
def test_a_missing_package_is_named_with_what_to_do(
    package: str, export: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match="pip install"):
        EXPORTS[export](direction(2), tmp_path)
