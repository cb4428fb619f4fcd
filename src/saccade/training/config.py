"""How a system is run and trained: length, batches, optimizer, schedule, precision. Systems import only this module."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from saccade.core.config import NAMED, config

Rate = Annotated[float, Field(ge=0, lt=1)]
Small = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, le=10)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


@config
class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980)."""

    name: Literal["adam"] = "adam"
    beta1: Rate = 0.9
    """Decay of the mean."""
    beta2: Rate = 0.999
    """Decay of the square."""
    epsilon: Small = 1e-8
    """Added to the root of the square."""
    weight_decay: Decay = 0.0
    """Decoupled decay of the weights (Loshchilov & Hutter 2019, arXiv:1711.05101)."""


@config
class Adadelta:
    """Adadelta (Zeiler 2012, arXiv:1212.5701)."""

    name: Literal["adadelta"] = "adadelta"
    rho: Rate = 0.95
    """Decay of the squares."""
    epsilon: Small = 1e-6
    """Added under both roots."""


@config
class SGD:
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    momentum: Rate = 0.0
    """Fraction of the last step that is added to the next."""
    nesterov: bool = False
    """Nesterov's momentum (Sutskever et al. 2013)."""
    weight_decay: Decay = 0.0
    """Times the weights, added to the gradient (L2)."""

    @model_validator(mode="after")
    def check_momentum(self) -> "SGD":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0, such as 0.9")
        return self


@config
class RMSprop:
    """RMSprop (Tieleman & Hinton 2012; centered: Graves 2013, arXiv:1308.0850)."""

    name: Literal["rmsprop"] = "rmsprop"
    alpha: Rate = 0.99
    """Decay of the square."""
    epsilon: Small = 1e-8
    """Added to the root of the square."""
    momentum: Rate = 0.0
    """Fraction of the last step that is added to the next."""
    centered: bool = False
    """Divide by the standard deviation of the gradient, not by the root of its mean square."""
    weight_decay: Decay = 0.0
    """Times the weights, added to the gradient (L2)."""


@config
class RunConfig:
    """Settings of every run, trained or not."""

    batch_size: Count = 1200
    """The largest batch, including padding, in symbols, frames or points; in examples if the task defines no sizes."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of the initial weights, the order of the data and dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto uses a GPU if there is one."""
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    """Number format; bfloat16 is mixed precision (autocast over float32 weights)."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads per operation on the CPU; none: torch's default. Small products, as in a recurrent net with few units,
    are often faster with 1."""


@config
class TrainingConfig(RunConfig):
    """How the weights are trained."""

    steps: Count = 1000
    """Updates of the weights."""
    window: Count = 8000
    """Number of examples that are sorted together by size before they are cut into batches."""
    optimizer: Annotated[Adam | Adadelta | SGD | RMSprop, Field(discriminator="name"), NAMED] = Adam()
    """The rule that turns gradients into updates."""
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 1e-3
    """The largest learning rate; the schedule multiplies it by a factor from 0 to 1."""
    schedule: Literal["constant", "linear", "inverse-root", "cosine", "step"] = "linear"
    """The learning rate after the warm-up: constant; falling to 0 at the last step, linearly or as a cosine (Loshchilov
    & Hutter 2017); falling as 1/sqrt(step) (Vaswani et al. 2017); or multiplied by step_factor every step_every
    steps."""
    step_every: Count | None = None
    """Steps between two reductions of the step schedule, which requires it."""
    step_factor: Small = 0.1
    """Factor of each reduction of the step schedule."""
    warmup: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Steps over which the rate rises from 0."""
    clip: Annotated[float, Field(gt=0, le=1e9)] | None = 1.0
    """Largest norm of the gradient (Pascanu et al. 2013); none: not clipped."""
    accumulate: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Batches accumulated per update; the result is the same as with one large batch."""
    validate_every: Count = 500
    """Steps between validations."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    log_every: Count = 50
    """Steps between lines of the metrics."""
    keep: Literal["last", "best"] = "last"
    """The final weights of a run: those of the last step, or those of the best validation."""
    average: Annotated[int, Field(ge=1, le=1000)] = 1
    """The final weights are the mean of this many last checkpoints, or of all if there are fewer (Vaswani et al. 2017,
    6.1)."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights (Kingma & Ba 2015, 7.2), which is then validated and kept;
    none: no average."""
    patience: Count | None = None
    """Validations without improvement before training stops; none: it never stops early."""
    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"
    """How several processes (torchrun) share a run: each has all weights (auto, ddp), or a shard of them (fsdp2)."""
    tensor: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that share each layer (tensor parallelism): every one has some heads and hidden units. The other axis
    of processes divides the batch."""
    recompute: Literal["none", "blocks"] = "none"
    """What the backward pass computes again instead of keeping it in memory: the inside of each block. The results are
    the same."""

    @model_validator(mode="after")
    def check_choices(self) -> "TrainingConfig":
        if self.average > 1 and self.keep == "best":
            raise ValueError(f"average is {self.average}, but keep is 'best'; set only one of them")
        if self.average > 1 and self.ema is not None:
            raise ValueError(f"average is {self.average} and ema is {self.ema}; set only one of them")
        if self.schedule == "step" and self.step_every is None:
            raise ValueError("schedule is 'step', which needs step_every, such as 1000")
        if self.schedule != "step" and (self.step_every, self.step_factor) != (None, 0.1):
            raise ValueError(f"step_every and step_factor belong to the schedule 'step', but it is {self.schedule!r}")
        return self
