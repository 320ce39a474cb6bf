"""The door to a voice: opens one by name or folder, for TensorFlow or for ONNX Runtime, whichever is wanted and there."""

import importlib.util
import pathlib

from pnet_tf import light_network, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.voice import RUNTIME_CHOICES, Voice
from pnet_tf.voice_folder import WEIGHTS_NAME

# What is imported, and the extra of this package that brings it.
_PACKAGES = {"tensorflow": ("tensorflow", "tf"), "onnx": ("onnxruntime", "play")}


def open_voice(voice: str | pathlib.Path, *, runtime: str = "auto") -> Voice:
    """Opens a voice, to be performed with (`render.Piece`, `perform_sound`).

    Args:
      voice: the name of a shipped voice, a voice folder, or the folder of a SavedModel.
      runtime: `tensorflow`; `onnx`, which starts sooner and takes voice folders alone; or `auto`, which is `onnx` for a
        voice folder where it is installed, and `tensorflow` else.

    Raises:
      InputError: there is no such voice, it is damaged, or what it needs is not installed.
      ValueError: an unknown `runtime`.
    """
    if runtime not in RUNTIME_CHOICES:
        raise ValueError(f"runtime is {runtime!r}, expected one of {', '.join(RUNTIME_CHOICES)}")
    folder = voice_folder.find_voice(voice)
    if _chosen(folder, runtime) == "onnx":
        return _open_light(folder)
    from pnet_tf import savedmodel  # brings TensorFlow

    return savedmodel.open_voice(folder)


def _chosen(folder: pathlib.Path, runtime: str) -> str:
    """The runtime for a folder; raises InputError where it is not installed, or cannot run what is there."""
    is_program = voice_folder.program_in(folder) is not None
    if not is_program:
        voice_folder.require_voice_folder(folder)
    if is_program and runtime == "onnx":
        raise InputError(f"{folder}: a SavedModel, which needs --runtime=tensorflow; onnx takes voice folders")
    if runtime == "auto":
        runtime = "onnx" if not is_program and (_is_installed("onnx") or not _is_installed("tensorflow")) else "tensorflow"
    if not _is_installed(runtime):
        package, extra = _PACKAGES[runtime]
        what = "a SavedModel" if is_program else "this voice"
        raise InputError(f'{folder}: {what} needs {package}, which is not installed: pip install "pnet_tf[{extra}]"')
    return runtime


def _is_installed(runtime: str) -> bool:
    return importlib.util.find_spec(_PACKAGES[runtime][0]) is not None


def _open_light(folder: pathlib.Path) -> Voice:
    spec, config, facts = voice_folder.open_folder(folder)
    voice_folder.require_weights_for(folder / WEIGHTS_NAME, spec, config)
    weights = voice_folder.read_weights(folder, light_network.weight_shapes(spec, config))
    draw = light_network.open_network(weights, spec, config, where=str(folder))
    return Voice(draw=draw, spec=spec, runtime="onnx", **facts)
