"""The training engine (Lightning's Trainer), silent, with checkpoints, metrics and validation of our own."""

import logging
import warnings
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from saccade.training.checkpoint import AtomicCheckpointIO
from saccade.training.config import TrainingConfig
from saccade.training.device import pick_device
from saccade.training.keeper import Keeper
from saccade.training.sharding import strategy

PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float64": "64-true"}


def trainer_for(config: TrainingConfig, keeper: Keeper, start: int) -> Trainer:
    """The engine for a run whose first step is the one after `start`."""
    folder, sharing = keeper.folder, strategy(config.strategy, keeper.processes)
    first = keeper.processes.rank == 0
    arguments: dict[str, Any] = {"devices": devices(config.device)} | sharing
    arguments["plugins"] = [AtomicCheckpointIO(), *sharing["plugins"]]
    return Trainer(
        **arguments,
        accelerator=accelerator(config.device),
        precision=PRECISION[config.precision],
        max_steps=config.steps,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip,
        logger=TensorBoardLogger(folder.path, name="", version="tensorboard", purge_step=start + 1) if first else False,
        callbacks=[keeper],
        default_root_dir=folder.path,
        log_every_n_steps=config.log_every,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def accelerator(device: str) -> str:
    kind = pick_device(device).type
    return "gpu" if kind == "cuda" else kind


def devices(device: str) -> Any:
    chosen = pick_device(device)
    return 1 if chosen.type == "cpu" or chosen.index is None else [chosen.index]


def quiet() -> None:
    """The engine's tips and notices are about the engine, not about the user's run."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
