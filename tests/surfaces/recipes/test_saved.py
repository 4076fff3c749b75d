from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from landscape.errors import FileError, InputError
from landscape.models.normalize import NormalizedModel
from landscape.surfaces.directions import RandomDirections
from landscape.surfaces.recipes.saved import load_directions, save_directions
from landscape.weights import parameters_of
from tests.surfaces.recipes.nets import network


def test_directions_come_back_bit_for_bit(tmp_path: Path) -> None:
    weights, recipe = parameters_of(network(0)), RandomDirections(seed=3)
    found = load_directions(save_directions(tmp_path / "d.safetensors", recipe, weights, count=2))
    assert found.origin == recipe.settings()
    assert found.moving(weights) == ["0.weight", "4.weight"]
    for index in range(2):
        ours, theirs = found.direction(weights, index), recipe.direction(weights, index)
        assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_one_file_moves_several_checkpoints_with_a_normalization_or_without(tmp_path: Path) -> None:
    first, second = parameters_of(network(0)), parameters_of(NormalizedModel(network(1), [0.5], [0.25]))
    found = load_directions(save_directions(tmp_path / "d.safetensors", RandomDirections(), first, count=1))
    assert list(found.direction(second, 0)) == ["network.0.weight", "network.4.weight"]
    assert torch.equal(found.direction(second, 0)["network.0.weight"], found.direction(first, 0)["0.weight"])


def test_the_settings_follow_the_content_not_the_name(tmp_path: Path) -> None:
    weights = parameters_of(network(0))
    files = [
        save_directions(tmp_path / f"{index}.safetensors", RandomDirections(seed=seed), weights, count=2)
        for index, seed in enumerate((0, 0, 1))
    ]
    settings = [load_directions(file).settings() for file in files]
    assert settings[0] == settings[1] != settings[2]
    assert settings[0]["kind"] == "saved" and settings[0]["origin"] == "random"
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_file_of_tensors_named_as_parameters_is_one_direction(tmp_path: Path) -> None:
    weights = parameters_of(network(0))
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file({"4.bias": torch.ones(10)}, path)
    found = load_directions(path)
    assert found.moving(weights) == ["4.bias"] and torch.equal(found.direction(weights, 0)["4.bias"], torch.ones(10))
    assert found.settings()["origin"] is None
    with pytest.raises(InputError, match="the file holds 1 directions, got a call for 2"):
        found.direction(weights, 1)


def test_directions_of_another_network_are_refused(tmp_path: Path) -> None:
    weights, narrow = parameters_of(network(0)), parameters_of(network(0, width=4))
    found = load_directions(save_directions(tmp_path / "d.safetensors", RandomDirections(), narrow, count=1))
    with pytest.raises(InputError) as failure:
        found.moving(weights)
    assert str(failure.value) == (
        "the directions move 0.weight (4, 1, 3, 3), which is not the model's: it has (6, 1, 3, 3)."
    )
    with pytest.raises(InputError, match="it has no such parameter"):
        found.moving({"other.weight": torch.ones(2, 2)})


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with pytest.raises(FileError, match="cannot read"):
        load_directions(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(FileError, match="damaged or not a safetensors file"):
        load_directions(path)
    safetensors.torch.save_file({"0/w": torch.tensor([float("nan")])}, path)
    with pytest.raises(FileError, match="holds no directions of finite numbers"):
        load_directions(path)
    safetensors.torch.save_file(
        {"0/w": torch.ones(1)}, path, metadata={"landscape": '{"format": "landscape-directions/9"}'}
    )
    with pytest.raises(FileError, match="this version reads 'landscape-directions/1'; update the package"):
        load_directions(path)
    safetensors.torch.save_file({"0/w": torch.full((1,), 1e300, dtype=torch.float64)}, path)
    with pytest.raises(FileError, match="holds no directions of finite numbers"):
        load_directions(path)
    for name in ("w", "1/w", "9" * 5000 + "/w", "00/w"):
        safetensors.torch.save_file(
            {name: torch.ones(1)}, path, metadata={"landscape": '{"format": "landscape-directions/1"}'}
        )
        with pytest.raises(FileError, match="save the directions again"):
            load_directions(path)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    # By hand: safetensors 0.5 does not write complex numbers, and takes a file that names their type for a damaged one.
    header = b'{"0/w":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}'
    path = tmp_path / "d.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(FileError, match=r"holds no directions of finite numbers|damaged or not a safetensors file"):
        load_directions(path)


def test_small_kinds_of_numbers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2, dtype=torch.float8_e4m3fn)}, path)
    weights = {"w": torch.zeros(2)}
    assert torch.equal(load_directions(path).direction(weights, 0)["w"], torch.ones(2))


def test_the_name_has_the_suffix_of_the_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"directions are kept in .safetensors files, got 'd.pt'"):
        save_directions(tmp_path / "d.pt", RandomDirections(), parameters_of(network(0)), count=1)
