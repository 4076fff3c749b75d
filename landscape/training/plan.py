"""Everything that a run needs, decided and checked before a file is touched: settings, data, model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from landscape.attacks.suite import parse_attack
from landscape.datasets.registry import data_place, dataset_info, has_separate_splits, load_examples
from landscape.datasets.subsets import balanced_subset, validation_split
from landscape.errors import InputError, ModelError, TrainingError
from landscape.models.noisy import inject_noise
from landscape.models.normalize import Normalization, NormalizedModel, normalized, parse_normalization
from landscape.models.registry import (
    arguments_for_weights,
    build_model,
    is_own,
    model_arguments,
    require_fit,
    with_given,
)
from landscape.names import DATASETS
from landscape.training.augmentation import require_images
from landscape.training.config import Settings, TrainConfig, effective
from landscape.training.evaluation import Evaluation
from landscape.training.processes import ALONE, Processes
from landscape.training.pseudo_labels import Unlabelled, split_labels
from landscape.training.starting import start_from, starting_digest
from landscape.weights import digest_weights

if TYPE_CHECKING:
    from landscape.datasets.examples import Examples

    ExamplePair = tuple[Examples, Examples]
    """Training and test examples."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is made of.

    Attributes:
        settings: the settings, nothing left open.
        train: training examples, on the device.
        test: test examples, on the device.
        validation: examples that choose the best epoch, on the device; None for the test examples.
        unlabelled: examples without labels, on the device, for robust self-training; None without.
        model: takes inputs in [0, 1]; at its initial weights; belongs to the run.
        model_name: name that the checkpoints give to the network.
        model_arguments: arguments that the checkpoints give to the network.
        normalization: of the inputs, inside `model`.
        origin: digests of what a continuation must find unchanged.
        processes: which train together.
    """

    settings: Settings
    train: Examples
    test: Examples
    validation: Examples | None
    unlabelled: Unlabelled | None
    model: nn.Module
    model_name: str
    model_arguments: dict[str, Any]
    normalization: Normalization | None
    origin: dict[str, Any]
    processes: Processes = ALONE

    def network_of(self, model: nn.Module) -> nn.Module:
        """The part of `model`, this plan's model or a copy of it, that a checkpoint holds."""
        return model.network if self.normalization is not None and isinstance(model, NormalizedModel) else model

    def evaluation(self, attack: str, num_examples: int | None) -> Evaluation:
        """The measurement under a named attack with the run's threat model and step size."""
        return Evaluation.prepare(
            parse_attack(attack, self.settings.threat, step_size=self.settings.step_size),
            self.train,
            self.test,
            validation=self.validation,
            num_examples=num_examples,
            batch_size=max(self.settings.batch_size, 128),
            num_draws=self.settings.noise_draws,
            processes=self.processes,
        )


def settings_for(config: TrainConfig, *, model: nn.Module | None, examples: ExamplePair | None) -> Settings:
    """The effective settings, without reading the data.

    Raises:
        InputError: the data set is unknown or needs a setting that was not given.
        DataError: the user's own data cannot be found.
        TrainingError: the user's own data are not split into training and test examples.
    """
    if model is not None and config.model is None:
        kind = type(model)
        config = dataclasses.replace(config, model=f"{kind.__module__}:{kind.__qualname__}")
    if examples is not None:
        config = dataclasses.replace(config, dataset=examples[0].dataset)
        known = config.dataset in DATASETS and config.dataset != "arrays"
        return effective(config, dataset_info(config.dataset) if known else None)
    name, place = data_place(config.dataset, config.data_dir)
    if name == "arrays":
        config = dataclasses.replace(config, dataset=name, data_dir=str(place))
        if not has_separate_splits(name, data_dir=place):
            raise TrainingError(f"{place} has no test examples of its own; training needs both splits, train and test.")
    return effective(config, dataset_info(name, data_dir=config.data_dir))


def make_plan(
    settings: Settings,
    device: torch.device,
    *,
    model: nn.Module | None,
    examples: ExamplePair | None,
    processes: Processes = ALONE,
) -> Plan:
    """Load the data and build the model, with initial weights from torch's generator as it stands.

    Raises:
        DataError: the data are missing or damaged.
        InputError: training and test examples do not fit each other, or there are too few of them.
        ModelError: the model is unknown, cannot be built, or does not fit the data.
    """
    train, test = examples if examples is not None else _load(settings)
    if train.image_shape != test.image_shape or train.num_classes != test.num_classes:
        raise InputError(
            "training and test examples have one shape and one set of classes, got "
            f"{train.image_shape} with {train.num_classes} and {test.image_shape} with {test.num_classes}."
        )
    train, validation = _parts(train, settings)
    train, unlabelled = split_labels(train, settings)
    require_images(settings, train.image_shape)
    if isinstance(model, NormalizedModel):
        raise InputError(
            "a run normalizes by its own settings; pass .network of the NormalizedModel, and normalization."
        )
    arguments: dict[str, Any] = {}
    if model is None:
        arguments = model_arguments(settings.model, image_shape=train.image_shape, num_classes=train.num_classes)
        arguments = with_given(settings.model, arguments, settings.model_arguments or {})
        network = build_model(settings.model, **arguments)
    elif settings.model_arguments:
        raise InputError("model_arguments belong to a model by its name; leave them out with a network of your own.")
    else:
        network = copy.deepcopy(model)
        arguments = _arguments_of(network, settings.model, train)
    if settings.injects_noise:
        network = inject_noise(network, alpha=settings.noise_alpha)
    normalization = parse_normalization(settings.normalization)
    if settings.start_from is not None:
        start_from(network, Path(settings.start_from), normalization=normalization)
    network.requires_grad_(True)
    _require_channels(normalization, train.image_shape)
    whole = normalized(network, normalization)
    require_fit(whole, image_shape=train.image_shape, num_classes=train.num_classes)
    return Plan(
        settings=settings,
        train=train.to(device),
        test=test.to(device),
        validation=None if validation is None else validation.to(device),
        unlabelled=None if unlabelled is None else unlabelled.to(device),
        model=whole,
        model_name=settings.model,
        model_arguments=arguments,
        normalization=normalization,
        origin={
            "train": train.digest(),
            "test": test.digest(),
            "model": None if model is None else digest_weights(model),
            **starting_digest(settings.start_from),
        },
        processes=processes,
    )


def _require_channels(normalization: Normalization | None, shape: tuple[int, ...]) -> None:
    if normalization is not None and len(normalization[0]) not in (1, shape[0]):
        raise InputError(
            f"the normalization has numbers for {len(normalization[0])} channels, and the images have {shape[0]}; "
            "give --normalization for these."
        )


def _arguments_of(network: nn.Module, name: str, examples: Examples) -> dict[str, Any]:
    """The arguments of a registered model that build a network like this one, which its checkpoints must name."""
    if is_own(name):
        return {}
    weights = network.state_dict()
    shape, classes = examples.image_shape, examples.num_classes
    arguments = arguments_for_weights(name, weights, image_shape=shape, num_classes=classes)
    with torch.device("meta"):  # shapes alone; the random generator stays as it is
        expected = build_model(name, **arguments).state_dict()
    if {key: value.shape for key, value in weights.items()} != {key: value.shape for key, value in expected.items()}:
        raise ModelError(f"the network is no {name}, which the settings name; leave model out of them.")
    return arguments


def require_same_origin(plan: Plan, before: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with other data, or from another network than the one that was given at first.

    Raises:
        TrainingError: naming what changed.
    """
    words = {
        "train": "training examples",
        "test": "test examples",
        "unlabelled": "examples without labels",
        "model": "initial weights",
        "start": "weights to begin with",
    }
    if changed := [words[name] for name, digest in plan.origin.items() if before.get(name) != digest]:
        raise TrainingError(
            f"the run in {folder} was made with other {' and '.join(changed)}; name another --out, or --overwrite it."
        )


def _parts(train: Examples, settings: Settings) -> tuple[Examples, Examples | None]:
    """Training and validation examples; the latter do not depend on how many of the former are used."""
    validation = None
    if settings.validation is not None:
        train, validation = validation_split(train, settings.validation)
    if settings.train_examples is not None:
        train = balanced_subset(train, settings.train_examples)
    return train, validation


def _load(settings: Settings) -> ExamplePair:
    train, test = (
        load_examples(settings.dataset, split=split, data_dir=settings.data_dir) for split in ("train", "test")
    )
    return train, test
