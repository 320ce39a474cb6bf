"""Trained weights to go on from, wherever they are: the best of a run folder, a voice folder, or a shipped voice."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pnet_tf import checkpoint, note_decay, unet, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.model_config import ModelConfig
from pnet_tf.run_folder import RUN_NAME, open_run
from pnet_tf.spec import FeatureSpec, require_same

_MOST_NAMED = 8


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network, not read yet.

    Attributes:
      folder: a run folder or a voice folder.
      weights: its file of weights.
      spec: of what it was trained on.
      config: of the network.
      facts: what it sounds like: `instrument`, `pitch_frames`, `window_frames`, and where they were
        measured `loudness_lufs`, `noise_floor`, `ceiling` and `peaks`.
      has_card: whether the card of a voice still fits it.
    """

    folder: pathlib.Path
    weights: pathlib.Path
    spec: FeatureSpec
    config: ModelConfig
    facts: Mapping[str, Any]
    has_card: bool = True

    def build(self) -> keras.Model:
        """The network with these weights; raises InputError where they are missing, damaged, or those of another network."""
        if self.weights.name == voice_folder.WEIGHTS_NAME:
            return voice_folder.model_of_folder(self.folder, self.spec, self.config)
        model = unet.build_performance_net(self.spec, self.config)
        self.load_into(model)
        return model

    def for_use(self, sounds_like: Sequence[str] = ()) -> tuple["Trained", keras.Model]:
        """The network as it is exported: without recordings.

        Args:
          sounds_like: recordings whose colour it has, of several their mean; none for that of all.

        Returns:
          What it is, with the config of that network, and the network.

        Raises:
          InputError: it knows no such recording, or its weights cannot be used, as `build` says.
        """
        names = self.config.recordings
        if unknown := [name for name in sounds_like if name not in names]:
            known = f"it knows {', '.join(names[:_MOST_NAMED])}" if names else "it was trained without --per_recording"
            raise InputError(f"{self.folder}: knows no recording {', '.join(unknown)} to sound like ({known})")
        model = self.build()
        if not names:
            return self, model
        plain = dataclasses.replace(self, config=dataclasses.replace(self.config, recordings=()))
        weights = checkpoint.weights_of(model)
        # No window was drawn from the others: they are too short, or the training was.
        learnt = [name for name, own in zip(names, weights[f"{note_decay.LAYER}/recording_levels"], strict=True) if own.any()]
        if unlearnt := [name for name in sounds_like if name not in learnt]:
            raise InputError(
                f"{self.folder}: learnt nothing from {', '.join(unlearnt)}: too few steps, or no part as long as a window"
            )
        weights = note_decay.as_one_recording(weights, names, sounds_like or learnt or names)
        model = unet.build_performance_net(self.spec, plain.config)
        checkpoint.assign_weights(model, weights)
        return plain, model

    @property
    def papers(self) -> list[pathlib.Path]:
        """The files that go with it, if there are any: the terms it comes with, and its card where it is a voice itself."""
        is_voice = self.weights.name == voice_folder.WEIGHTS_NAME
        names = [voice_folder.LICENSE_NAME, *([voice_folder.CARD_NAME] if is_voice and self.has_card else [])]
        return [self.folder / name for name in names if (self.folder / name).is_file()]

    def load_into(self, model: keras.Model) -> None:
        """Gives a model these weights, in its own precision; raises as `build`."""
        if self.weights.name == voice_folder.WEIGHTS_NAME:
            voice_folder.load_weights(self.folder, model)
        else:
            checkpoint.load_weights(self.weights, model)


def open_trained(name: str | pathlib.Path) -> Trained:
    """Finds trained weights.

    Args:
      name: a run folder, a voice folder, or the name of a shipped voice.

    Raises:
      InputError: it is none of these, or what belongs to it is missing or damaged.
    """
    folder = voice_folder.find_voice(name)
    if (folder / RUN_NAME).exists():
        run = open_run(folder)
        return Trained(folder, run.best_weights, run.spec, run.config, run.voice)
    if voice_folder.is_voice_folder(folder):
        return Trained(folder, folder / voice_folder.WEIGHTS_NAME, *voice_folder.open_folder(folder))
    raise InputError(
        f"{folder}: neither a run folder (no {RUN_NAME}) nor a voice folder (no {voice_folder.VOICE_NAME}); give the "
        "--run_dir of a training, or a voice"
    )


def first_weights(name: str, spec: FeatureSpec, config: ModelConfig) -> dict[str, str]:
    """What a training that begins with trained weights keeps of them in its record.

    Args:
      name: as for `open_trained`.
      spec: of the data that is trained on.
      config: of the network that is trained.

    Returns:
      `name`, and `sha256` of the file of weights.

    Raises:
      SpecMismatchError: they were trained on data of another spec.
      InputError: they belong to another network, or cannot be read.
    """
    source = open_trained(name)
    require_same(spec, source.spec, our_place="the data", their_place=str(source.folder))
    theirs = dataclasses.asdict(source.config)
    different = [
        f"{field} is {value!r} here and {theirs.get(field)!r} there"
        for field, value in dataclasses.asdict(config).items()
        if value != theirs.get(field)
    ]
    if config.recordings != source.config.recordings:
        remedy = "leave --per_recording away" if not source.config.recordings else "export it with --format=voice first"
        raise InputError(
            f"--init_from={name}: has {len(source.config.recordings)} recordings of its own colour, and this training has "
            f"{len(config.recordings)}, or others; {remedy}"
        )
    if different:
        flags = ", ".join(f"--{field.name}" for field in dataclasses.fields(config) if field.name != "recordings")
        raise InputError(f"--init_from={name}: another network ({'; '.join(different)}); give its {flags}")
    # Before the run folder is begun, which would keep the name of weights that cannot be used.
    for path, array in checkpoint.weights_of(source.build()).items():
        if not np.isfinite(array).all():
            raise InputError(f"{source.weights}: {path} holds numbers that are not finite; begin with other weights")
    return {"name": name, "sha256": voice_folder.sha256_of(source.weights)}
