"""How a system is trained: length, batches, optimizer, schedule, precision. Systems import this module and no other."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import Many, Seed, config, refuse_unchosen

Rate = Annotated[float, Field(ge=0, lt=1)]


@config
class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980)."""

    beta1: Rate = 0.9
    """Decay of the mean."""
    beta2: Rate = 0.999
    """Decay of the square."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the root of the square."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled decay of the weights (Loshchilov & Hutter 2019, arXiv:1711.05101)."""


@config
class Adadelta:
    """Adadelta (Zeiler 2012, arXiv:1212.5701)."""

    rho: Rate = 0.95
    """Decay of the squares."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-6
    """Added under both roots."""


@config
class SGD:
    """Stochastic gradient descent."""

    momentum: Rate = 0.0
    """Share of the last step that is kept."""


@config
class TrainingConfig:
    """How the weights are found."""

    steps: Many = 1000
    """Updates of the weights."""
    batch_tokens: Many = 1200
    """The most a batch may hold, padding counted: target symbols of text, steps of speech, points of a pen."""
    window: Many = 8000
    """Examples that are sorted by length together, before they are cut into batches."""
    optimizer: Literal["adam", "adadelta", "sgd"] = "adam"
    """The rule that turns gradients into updates."""
    adam: Adam = Adam()
    adadelta: Adadelta = Adadelta()
    sgd: SGD = SGD()
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """The largest learning rate; the schedule multiplies it by a factor from 0 to 1."""
    schedule: Literal["constant", "linear", "inverse-root"] = "linear"
    """After the warm-up: as it is, falling to 0 at the last step, or as 1/sqrt(step) (Vaswani et al. 2017)."""
    warmup: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Steps over which the rate rises from 0."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient (Pascanu et al. 2013); none: unclipped."""
    accumulate: Many = 1
    """Batches whose gradients make one update: the mean over all their tokens, as if they were one batch."""
    validate_every: Many = 500
    """Steps between losses on the validation split."""
    checkpoint_every: Many = 500
    """Steps between checkpoints."""
    log_every: Many = 50
    """Steps between lines of the metrics."""
    keep: Literal["last", "best"] = "last"
    """The weights that a run ends with: those of the last step, or those of the lowest validation loss."""
    average: Annotated[int, Field(ge=1, le=1000)] = 1
    """The weights that a run ends with are the mean of its last so many checkpoints, or of all where there are fewer
    (Vaswani et al. 2017, 6.1)."""
    patience: Many | None = None
    """Validations without a lower loss before the run ends; none: it takes all its steps."""
    seed: Seed = 1
    """Seed of weights, order and dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads that share an operation on the CPU; none: as many as torch takes. Where products are small, as in a
    recurrent net with few units, they wait for each other longer than they compute, and one is faster."""
    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"
    """How several processes (torchrun) share a run: each with all the weights (auto, ddp), or a shard each (fsdp2)."""
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    """Number format; bfloat16 is mixed precision (autocast over float32 weights)."""

    @model_validator(mode="after")
    def check_choices(self) -> "TrainingConfig":
        refuse_unchosen(self, "optimizer", {"adam": "adam", "adadelta": "adadelta", "sgd": "sgd"})
        if self.average > 1 and self.keep == "best":
            raise ValueError(f"average is {self.average}, which is of the last checkpoints, but keep is 'best'")
        if self.strategy == "fsdp2" and self.precision == "float64":
            raise ValueError("precision is 'float64', which fsdp2 does not do; strategy 'ddp' does")
        return self
