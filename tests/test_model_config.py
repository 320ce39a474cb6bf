"""The model config: what may be asked for, and what is refused with its place."""

import pytest

from pnet_tf.errors import InputError
from pnet_tf.model_config import ModelConfig


def test_config_survives_json():
    config = ModelConfig(width=0.25, bands=(1, 2), note_spectra=(60, 62), recordings=("a", "b"))
    assert ModelConfig.from_json(config.to_json(), where="x") == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preset": "huge"}, "preset is 'huge'"),
        ({"width": 0.0}, "width is 0.0"),
        ({"width": float("nan")}, "width is nan"),
        ({"bands": (3,)}, "cannot be split into"),
        ({"bands": (0,)}, "cannot be split into"),
        *(({"note_spectra": wrong}, "lowest and the highest of MIDI's") for wrong in ((), (1,), (5, 4), (-1, 4), (0, 128))),
        *(({"note_spectra": wrong}, "lowest and the highest of MIDI's") for wrong in ((1.0, 2), ("a", "b"), "ab")),
        ({"note_spectra": [7] * 10**6}, "^.{60,200}$"),
        ({"recordings": ("a",)}, "only where there are note_spectra"),
        *(({"note_spectra": (1, 2), "recordings": wrong}, "no list of different") for wrong in ("aa", (1,), ("",), ("x" * 256,))),
    ],
)
def test_a_config_out_of_range_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**fields)


def test_a_config_older_than_its_fields_has_none_of_them():
    config = ModelConfig.from_json('{"preset": "paper", "width": 0.25, "bands": [2]}', where="here")
    assert (config.note_spectra, config.recordings, config.n_spectra) == (None, (), 0)


NOT_ONE = ['{"bands": [2], "note_spectra": 3}', '{"bands": [2], "recordings": 3}']


@pytest.mark.parametrize("text", [*NOT_ONE, "", "[]", "{}", '{"preset": 1}', '{"bands": 3}', "{" * 100])
def test_what_is_no_config_is_refused_with_its_place(text):
    with pytest.raises(InputError, match=r"^here: "):
        ModelConfig.from_json(text, where="here")
