"""The model config: what may be asked for, and what is refused with its place."""

import pytest

from pnet_tf.errors import InputError
from pnet_tf.model_config import ModelConfig


def test_config_survives_json():
    config = ModelConfig(width=0.25, bands=(1, 2))
    assert ModelConfig.from_json(config.to_json(), where="x") == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preset": "huge"}, "preset is 'huge'"),
        ({"width": 0.0}, "width is 0.0"),
        ({"width": float("nan")}, "width is nan"),
        ({"bands": (3,)}, "cannot be split into"),
        ({"bands": (0,)}, "cannot be split into"),
    ],
)
def test_a_config_out_of_range_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**fields)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"preset": 1}', '{"bands": 3}', "{" * 100])
def test_what_is_no_config_is_refused_with_its_place(text):
    with pytest.raises(InputError, match=r"^here: "):
        ModelConfig.from_json(text, where="here")
