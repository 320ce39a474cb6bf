"""How to train: one frozen record, filled by the flags of `train`, read by the trainer and kept in the run folder."""

import dataclasses
import pathlib

from pnet_tf.model_config import ModelConfig

STRATEGIES = ("mirrored", "multiworker", "one")
SCHEDULES = ("plateau", "cosine")
LOSS_WEIGHTS = ("variance_weight", "loud_weight", "level_weight", "cosine_weight")
# What Keras calls the policy, by what the flag calls it. float64 is for checking that devices agree.
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "float64")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train; fields as the flags of `train`, which say what each means.

    `what_is_learnt` holds those that must be the same when a training goes on.
    """

    data: pathlib.Path
    run_dir: pathlib.Path
    config: ModelConfig
    instrument: str | None = None
    note_spectra: bool = False
    per_recording: bool = False
    init_from: str | None = None
    epochs: int = 300
    steps: int | None = None
    test_every: int = 10
    batch_size: int = 16
    window_frames: int = 864
    loss: str = "mse"
    variance_weight: float = 0.0
    loud_weight: float = 0.0
    level_weight: float = 0.0
    cosine_weight: float = 0.0
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    schedule: str = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    early_stopping: int = 0
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    pitch_shift: int = 0
    seed: int = 0
    precision: str = "float32"
    jit: bool = False
    strategy: str = "mirrored"
    log_every: int = 20
    checkpoint_minutes: float = 10.0
    keep: int = 2
    pictures: int = 2
    profile_steps: tuple[int, int] | None = None

    def what_is_learnt(self) -> dict[str, str | int | float]:
        """The settings that decide what is learnt from the data, by flag name; of `init_from` the weights count, not the name."""
        names = ("batch_size", "window_frames", "loss", "learning_rate", "warmup_steps", "plateau_factor", "plateau_patience")
        names += (*LOSS_WEIGHTS, "schedule", "init_from", "clip_norm", "ema_decay", "pitch_shift", "seed", "precision")
        return {name: getattr(self, name) for name in names}

    @property
    def loss_weights(self) -> dict[str, float]:
        """Of the loss, as `loss.make_loss` takes them."""
        return {name: getattr(self, name) for name in LOSS_WEIGHTS}

    def what_all_share(self) -> str:
        """The settings that must be the same in each of several workers: all but where things are and what the chief keeps."""
        own = ("data", "run_dir", "checkpoint_minutes", "keep", "pictures", "profile_steps")
        return repr({field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in own})
