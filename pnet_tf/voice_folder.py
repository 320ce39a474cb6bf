"""The voice folder, the form in which trained voices are shipped: small, plain to read, one weight file for every runtime.

    feature_spec.json  model_config.json  voice.json  weights.npz  README.md  LICENSE.md (for people; never read)

`weights.npz` is an uncompressed NumPy zip of float16 arrays, named by the layers' paths.
"""

import hashlib
import itertools
import json
import math
import pathlib
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pnet_tf import model_config, note_decay
from pnet_tf import spec as spec_room
from pnet_tf.errors import DAMAGED, InputError
from pnet_tf.files import open_regular, read_small, write_arrays
from pnet_tf.model_config import PAPER, ModelConfig
from pnet_tf.spec import FeatureSpec

if TYPE_CHECKING:
    import keras

VOICE_NAME = "voice.json"
WEIGHTS_NAME = "weights.npz"
LICENSE_NAME = "LICENSE.md"
CARD_NAME = "README.md"
GRAPH_NAME = "saved_model.pb"
SHIPPED = pathlib.Path(__file__).parent / "voices"
_FORMAT_VERSION = 1
# Whose digest is in voice.json, and under which name. A config without its norm, or another spec, fits the same weights.
_SEALED = {
    WEIGHTS_NAME: "weights_sha256", model_config.FILE_NAME: "model_config_sha256", spec_room.FILE_NAME: "feature_spec_sha256"
}
# What a voice folder, a SavedModel and a run folder are known by.
_MARKS = (VOICE_NAME, WEIGHTS_NAME, GRAPH_NAME, "run.json")
_FACTS_KEY = "facts_sha256"
_MAX_LUFS = 200
_LEVELS, _MAX_LOG_POWER = ("noise_floor", "ceiling"), 30
_MOST_PEAKS, _LEAST_STEP = 64, 1e-4  # the decimals that they are measured to
_REASON_CHARACTERS, _MOST_NAME_CHARACTERS = 120, 60
_HALF = np.dtype("<f2")


# --- which folder


def find_voice(name: str | pathlib.Path) -> pathlib.Path:
    """A folder by its path, or that of a shipped voice by its name, which a folder of recordings of that name does not hide.

    Raises:
      InputError: there is neither.
    """
    folder, names = pathlib.Path(name), shipped()
    if str(name) in names and not any((folder / mark).exists() for mark in _MARKS):
        return SHIPPED / name
    if folder.is_dir() and str(name):
        return folder
    raise InputError(
        f"{name or 'an empty name'}: no such folder, and no voice of that name is shipped ({', '.join(names) or 'none is'}); "
        "make one with pnet-export"
    )


def shipped() -> list[str]:
    """Names of the voices that are in the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{VOICE_NAME}"))


def is_voice_folder(folder: pathlib.Path) -> bool:
    """Whether a folder means to be a voice folder: of a damaged one something may be missing."""
    return any((folder / name).exists() for name in (VOICE_NAME, WEIGHTS_NAME))


def require_voice_folder(folder: pathlib.Path) -> None:
    """Raises InputError for a folder that means to be no voice at all."""
    if not is_voice_folder(folder):
        raise InputError(
            f"{folder}: not a SavedModel (no {GRAPH_NAME}), nor a voice folder (no {WEIGHTS_NAME}); make one with pnet-export"
        )


def program_in(folder: pathlib.Path) -> pathlib.Path | None:
    """The SavedModel that a folder is, or the newest of those versions that lie in it; None where there is none."""
    if (folder / GRAPH_NAME).exists():
        return folder
    numbered = {} if is_voice_folder(folder) else versions(folder)
    return numbered[max(numbered)] if numbered else None


def versions(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The SavedModels that lie in a folder, in folders named by a number, by that number."""
    found = (path.parent for path in folder.glob(f"*/{GRAPH_NAME}"))
    return {int(path.name): path for path in found if path.name.isascii() and path.name.isdigit()}


# --- what the voice is


def read_facts(path: pathlib.Path, spec: FeatureSpec) -> dict[str, Any]:
    """What a voice is, as a SavedModel's or a voice folder's `voice.json` says it.

    Args:
      path: of the file.
      spec: gives the number of pitches and bins.

    Returns:
      `instrument`; `pitch_frames`, the frames in which it heard each pitch; `window_frames`; `loudness_lufs` or None;
      `noise_floor` and `ceiling`, log power as `level_range` measures it, [bins], or None; `peaks`, as `peak_levels`
      measures them, or None.

    Raises:
      InputError: there is none, or it cannot be read.
    """
    try:
        fields = json.loads(read_small(path))
        loudness = fields.get("loudness_lufs")
        facts = {
            "instrument": _word(fields["instrument"]),
            "pitch_frames": tuple(int(n) for n in fields["pitch_frames"]),
            "window_frames": int(fields["window_frames"]),
            "loudness_lufs": None if loudness is None else float(loudness),
            **_levels_of(fields, spec),
            "peaks": _peaks_of(fields.get("peaks")),
        }
        wild = not -_MAX_LUFS < (facts["loudness_lufs"] or 0) < _MAX_LUFS or min(facts["pitch_frames"], default=0) < 0
        if facts["window_frames"] < 1 or len(facts["pitch_frames"]) != spec.n_pitches or wild:
            raise ValueError("numbers out of range")
    except (*DAMAGED, RecursionError) as error:
        raise InputError(f"{path}: cannot read what the voice is ({error!r}); export it again") from error
    return facts


def _word(text: Any) -> str:
    """A name as it may be shown in a terminal; raises ValueError for another."""
    if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= _MOST_NAME_CHARACTERS:
        raise ValueError("the instrument's name is no short line of text")
    return text


def _levels_of(fields: Mapping[str, Any], spec: FeatureSpec) -> dict[str, tuple[float, ...] | None]:
    """Noise floor and ceiling: both, or None for both; raises ValueError where they are no levels."""
    rows = [fields.get(name) for name in _LEVELS]
    if rows == [None, None]:
        return dict.fromkeys(_LEVELS)
    for row in rows:
        if not isinstance(row, list) or len(row) != spec.n_bins or any(type(x) not in (int, float) for x in row):
            raise ValueError(f"{' and '.join(_LEVELS)} have to be {spec.n_bins} numbers each")
    if not all(0 <= low <= high < _MAX_LOG_POWER for low, high in zip(*rows)):
        raise ValueError("levels out of range")
    return {name: tuple(map(float, row)) for name, row in zip(_LEVELS, rows)}


def _peaks_of(rows: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Drawn levels and what is added there; raises ValueError where they are no rising curve of no fall."""
    if rows is None:
        return None
    if not isinstance(rows, list) or [isinstance(row, list) for row in rows] != [True, True]:
        raise ValueError("peaks have to be two lists of numbers")
    drawn, rise = rows
    if not 0 < len(drawn) == len(rise) <= _MOST_PEAKS or any(type(x) not in (int, float) for x in (*drawn, *rise)):
        raise ValueError("peaks have to be two lists of as many numbers")
    steps = [high - low for low, high in itertools.pairwise(drawn)]
    is_rising = all(0 <= x < _MAX_LOG_POWER for x in drawn) and all(step > _LEAST_STEP / 2 for step in steps)
    if not is_rising or not all(0 <= low <= high < _MAX_LOG_POWER for low, high in itertools.pairwise((0, *rise))) or rise[0]:
        raise ValueError("peaks out of range")
    return tuple(map(float, drawn)), tuple(map(float, rise))


def open_folder(folder: pathlib.Path) -> tuple[FeatureSpec, ModelConfig, dict[str, Any]]:
    """A voice folder's spec, config and facts (as `read_facts`), once its weights are known to be those it was made with.

    Raises:
      InputError: something is missing, damaged, or was changed.
    """
    spec = FeatureSpec.read(folder)
    facts = read_facts(folder / VOICE_NAME, spec)
    path = folder / model_config.FILE_NAME
    try:
        config = ModelConfig.from_json(read_small(path), where=str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot read the model config ({error.strerror}); export the voice again") from error
    config.require_pitches(spec.n_pitches, where=str(path))
    if config.recordings:
        raise InputError(f"{path}: a voice has one colour, and this names recordings; export the voice again")
    fields = json.loads(read_small(folder / VOICE_NAME))
    if fields.get("format_version") != _FORMAT_VERSION:
        raise InputError(
            f"{folder / VOICE_NAME}: format_version is {fields.get('format_version')!r}, this version reads {_FORMAT_VERSION}"
        )
    if fields.get(_FACTS_KEY) != digest_of_facts(fields):
        raise InputError(
            f"{folder / VOICE_NAME}: changed or damaged ({_FACTS_KEY} does not fit); get the voice again, or export it again"
        )
    for name, key in _SEALED.items():
        if (found := sha256_of(folder / name)) != fields.get(key):
            raise InputError(
                f"{folder / name}: changed or damaged (its SHA-256 is {found[:12]}..., {VOICE_NAME} has "
                f"{str(fields.get(key))[:12]}...); get the voice again, or export it again"
            )
    return spec, config, facts


def digest_of_facts(fields: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of all else that `voice.json` says, as JSON without spaces and in the order of its names."""
    named = {name: value for name, value in fields.items() if name != _FACTS_KEY}
    return hashlib.sha256(json.dumps(named, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256_of(path: pathlib.Path) -> str:
    """SHA-256 of a file of a voice or a run, in hexadecimal.

    Raises:
      InputError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot read this file ({error.strerror})") from error


# --- writing


def write_weights(folder: pathlib.Path, weights: Mapping[str, np.ndarray]) -> None:
    """Writes the weights of a voice, rounded to float16.

    Args:
      folder: of the voice.
      weights: arrays of any float type [...] by path, as `checkpoint.weights_of` gives them.

    Raises:
      InputError: one is too large for float16, or no number.
      OSError: the file cannot be written.
    """
    halves = {}
    for name, array in weights.items():
        with np.errstate(over="ignore"):
            halves[name] = np.ascontiguousarray(array, dtype=_HALF)
        if not np.isfinite(halves[name]).all():
            raise InputError(f"{name}: holds numbers that float16 cannot hold (up to {np.abs(array).max():.3g}); train anew")
    write_arrays(folder / WEIGHTS_NAME, halves)


def write_facts(folder: pathlib.Path, spec: FeatureSpec, config: ModelConfig, facts: Mapping[str, Any]) -> None:
    """Writes all of a voice but its weights, which are there already.

    Args:
      folder: of the voice.
      spec: of what it was trained on.
      config: of its network.
      facts: what it is, as `read_facts` gives it.
    """
    (folder / spec_room.FILE_NAME).write_text(spec.to_json(), encoding="utf-8")
    (folder / model_config.FILE_NAME).write_text(config.to_json(), encoding="utf-8")
    seals = {key: sha256_of(folder / name) for name, key in _SEALED.items()}
    named = {**facts, **seals, "format_version": _FORMAT_VERSION}
    named[_FACTS_KEY] = digest_of_facts(named)
    (folder / VOICE_NAME).write_text(json.dumps(named, indent=1, sort_keys=True) + "\n", encoding="utf-8")


# --- weights


def model_of_folder(folder: pathlib.Path, spec: FeatureSpec, config: ModelConfig) -> "keras.Model":
    """The network of a voice folder with its weights; the arguments are what `open_folder` gave.

    Raises:
      InputError: the weights are damaged, or those of another network.
    """
    from pnet_tf import unet  # brings Keras

    require_weights_for(folder / WEIGHTS_NAME, spec, config)
    model = unet.build_performance_net(spec, config)
    load_weights(folder, model)
    return model


def require_weights_for(path: pathlib.Path, spec: FeatureSpec, config: ModelConfig) -> None:
    """Raises InputError where spec or config ask for a network so much larger than its weights that memory might not do.

    The kernels counted are some that every such network has: at the bottom, at the bins, at the pitches and of their spectra.
    """
    bottom, first, last = (config.channels(n) for n in (PAPER.encoder[-1], PAPER.encoder[0], PAPER.decoder[-1][0]))
    spectra = config.n_spectra * (note_decay.N_HELD + note_decay.N_STRUCK) * spec.n_bins
    n_bytes = _HALF.itemsize * max(bottom * bottom, last * spec.n_bins, first * spec.n_pitches, spectra)
    if (found := path.stat().st_size) < n_bytes:
        raise InputError(
            f"{path}: has {found} bytes, and the network of spec and config more than {n_bytes}; get the voice again, or "
            "export it again"
        )


def load_weights(folder: pathlib.Path, model: "keras.Model") -> None:
    """Reads a voice folder's weights into a model, whatever its precision; errors as `read_weights`."""
    variables = {variable.path: variable for variable in model.variables}
    arrays = read_weights(folder, {name: tuple(variable.shape) for name, variable in variables.items()})
    for name, variable in variables.items():
        variable.assign(arrays[name].astype(variable.dtype))


def read_weights(folder: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A voice folder's weights, float16 [...] by name; each must be there, have its shape, and be finite.

    Names and shapes are compared before any number is read.

    Raises:
      InputError: they are damaged, or those of another network.
    """
    path = folder / WEIGHTS_NAME
    try:
        return _read(path, shapes)
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:_REASON_CHARACTERS]  # numpy's may have several lines
        raise InputError(f"{path}: cannot read the weights ({reason}); get the voice again, or export it again") from error


def _read(path: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays, float16 [...], of exactly these shapes by name; raises one of DAMAGED for others."""
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("two arrays have one name")
        if different := sorted(set(members) ^ set(shapes)):
            raise ValueError(f"{len(different)} weights are there or expected alone, {different[0]} for one")
        for name, shape in shapes.items():
            _require_shape(archive, members[name], shape)
        return {name: _read_member(archive, members[name], shape) for name, shape in shapes.items()}


def _require_shape(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless a member is stored as it is, and says that it is float16 of this shape."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    with archive.open(info) as member:
        found, dtype, n_header = _read_header(member)
    if (found, dtype) != (shape, _HALF):
        raise ValueError(f"{info.filename} is {dtype} {list(found)}, expected {_HALF} {list(shape)}")
    if info.file_size != n_header + math.prod(shape) * _HALF.itemsize:
        raise ValueError(f"{info.filename} has {info.file_size} bytes")


def _read_header(member: Any) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type, and length in bytes of the header of an npy file, which is read up to its numbers."""
    if (version := np.lib.format.read_magic(member)) != (1, 0):
        raise ValueError(f"npy version {version}")
    shape, is_transposed, dtype = np.lib.format.read_array_header_1_0(member)
    if is_transposed and len(shape) > 1:
        raise ValueError("an array in Fortran's order")
    return shape, dtype, member.tell()


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: tuple[int, ...]) -> np.ndarray:
    with archive.open(info) as member:
        _read_header(member)
        array = np.frombuffer(member.read(), _HALF).reshape(shape)  # at its end zipfile has compared the checksum
    if not np.isfinite(array).all():
        raise ValueError(f"{info.filename} holds numbers that are none")
    return array
