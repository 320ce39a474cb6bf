"""The record of how to train: what must be the same when a training goes on, and what may change."""

import dataclasses
import pathlib

import pytest

from pnet_tf.settings import Settings
from pnet_tf.unet import ModelConfig

SETTINGS = Settings(pathlib.Path("data"), pathlib.Path("run"), ModelConfig())
# What the network's config says too. Where and how often, how long, on what machine: none of these changes what a step learns.
MAY_CHANGE = {"data", "run_dir", "config", "instrument", "epochs", "steps", "test_every", "early_stopping", "jit", "strategy"}
MAY_CHANGE |= {"note_spectra", "per_recording", "log_every", "checkpoint_minutes", "keep", "pictures", "profile_steps"}


def test_every_setting_is_known_to_be_part_of_what_is_learnt_or_not():
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert set(SETTINGS.what_is_learnt()) == fields - MAY_CHANGE


def test_what_is_learnt_follows_the_settings_and_nothing_is_changed_in_place():
    changed = dataclasses.replace(SETTINGS, clip_norm=3.0, precision="mixed_bfloat16")
    different = {k for k, v in changed.what_is_learnt().items() if v != SETTINGS.what_is_learnt()[k]}
    assert different == {"clip_norm", "precision"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.seed = 1


def test_workers_must_share_all_but_where_things_are_and_what_the_chief_keeps():
    """Whatever decides which steps are taken, and what each computes."""
    shared = {"seed": 1, "steps": 7, "test_every": 3, "log_every": 9, "jit": True, "config": ModelConfig(width=0.5)}
    for field, value in shared.items():
        assert dataclasses.replace(SETTINGS, **{field: value}).what_all_share() != SETTINGS.what_all_share(), field
    for field, value in {"run_dir": pathlib.Path("x"), "keep": 5, "pictures": 0, "data": pathlib.Path("y")}.items():
        assert dataclasses.replace(SETTINGS, **{field: value}).what_all_share() == SETTINGS.what_all_share(), field
