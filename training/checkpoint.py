"""Checkpoints in safetensors: all that a killed run needs to go on as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data.errors import InputError
from data.files import whole_file
from training.optimization import MovingAverage


@dataclass
class Progress:
    """Where a run stands: epochs done, its best score, and one row of numbers for every epoch."""

    epochs_done: int = 0
    best_score: float = float("-inf")
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Learner:
    """Everything that learns in a run: the network, what helps it and is left behind, their average and optimizer."""

    network: nn.Module
    helpers: nn.Module
    average: MovingAverage
    optimizer: torch.optim.Optimizer


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights, whole or not at all."""
    with whole_file(path) as temporary:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, temporary)


def load_weights(network: nn.Module, path: Path) -> nn.Module:
    """Fill the network with weights of a file, on the CPU.

    Raises:
        InputError: The file is missing, damaged, or of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"holds no readable weights ({error})", cure="train the run anew") from error
    except RuntimeError as error:
        found = " ".join(str(error).split())[:200]
        raise InputError(
            path, f"does not fit the recipe's network ({found})", cure="take the run's own recipe"
        ) from error
    return network


def save_checkpoint(path: Path, learner: Learner, progress: Progress) -> None:
    """Write everything to one file, whole or not at all."""
    tensors = {f"network/{name}": value for name, value in learner.network.state_dict().items()}
    tensors |= {f"helpers/{name}": value for name, value in learner.helpers.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in learner.average.network.state_dict().items()}
    numbers: dict[str, Any] = {}
    for index, state in learner.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                numbers[f"{index}/{name}"] = value
    record = {"progress": asdict(progress), "updates": learner.average.updates, "numbers": numbers}
    with whole_file(path) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            metadata={"shankha": json.dumps(record)},
        )


def load_checkpoint(path: Path, learner: Learner) -> Progress:
    """Put a checkpoint's state into the objects and tell where the run stood.

    Raises:
        InputError: The file is damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            record = json.loads(stream.metadata()["shankha"])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dict
        learner.network.load_state_dict(_below(tensors, "network/"))
        learner.helpers.load_state_dict(_below(tensors, "helpers/"))
        learner.average.network.load_state_dict(_below(tensors, "average/"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        found = " ".join(str(error).split())[:200]
        raise InputError(path, f"is no checkpoint of this run ({found})", cure="start the run anew") from error
    learner.average.updates = record["updates"]
    states: dict[int, dict[str, Any]] = {}
    for name, value in (_below(tensors, "optimizer/") | record["numbers"]).items():
        index, key = name.split("/", 1)
        states.setdefault(int(index), {})[key] = value
    optimizer = learner.optimizer
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return Progress(**record["progress"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
