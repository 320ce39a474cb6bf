"""A voice folder: small, exact to float16, and nothing damaged or foreign comes in through it."""

import hashlib
import io
import json
import pathlib
import shutil
import struct
import zipfile

import numpy as np
import pytest

from pnet_tf import run_folder, unet, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec
from pnet_tf.unet import ModelConfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEC = FeatureSpec()
CONFIG = ModelConfig(width=1 / 128, bands=(2,))
FACTS = {"instrument": "oboe", "pitch_frames": [2] * 128, "window_frames": 64, "loudness_lufs": -20.5}
FACTS |= {"noise_floor": None, "ceiling": None, "peaks": ((9.0, 10.5), (0.0, 0.25))}
KERNEL = "encoder0_conv1/kernel"


@pytest.fixture(scope="module")
def weights():
    """Numbers of all sizes that weights have, by path."""
    random = np.random.default_rng(0)
    model = unet.build_performance_net(SPEC, CONFIG)
    return {v.path: random.normal(0, 0.1, v.shape).astype(np.float32) for v in model.variables}


@pytest.fixture(scope="module")
def whole(weights, tmp_path_factory):
    """A voice folder; read it only."""
    folder = tmp_path_factory.mktemp("voice")
    voice_folder.write_weights(folder, weights)
    voice_folder.write_facts(folder, SPEC, CONFIG, FACTS)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "voice")


def seal(folder):
    """Makes voice.json name the files that are there, as someone would who wants them taken."""
    path = folder / "voice.json"
    names = {"weights.npz": "weights", "model_config.json": "model_config", "feature_spec.json": "feature_spec"}
    seals = {f"{key}_sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest() for name, key in names.items()}
    write_sealed(path, {**json.loads(path.read_text()), **seals})


def write_sealed(path, fields):
    """A voice.json whose digest of itself fits."""
    path.write_text(json.dumps({**fields, "facts_sha256": voice_folder.digest_of_facts(fields)}))


def open_all(folder):
    return voice_folder.model_of_folder(folder, *voice_folder.open_folder(folder)[:2])


def refused(folder, message):
    with pytest.raises(InputError, match=message) as error:
        open_all(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


# --- there and back


def test_what_was_written_comes_back_as_float16(whole, weights):
    spec, config, facts = voice_folder.open_folder(whole)
    assert (spec, config) == (SPEC, CONFIG)
    assert facts == {**FACTS, "pitch_frames": (2,) * 128}
    model = voice_folder.model_of_folder(whole, spec, config)
    for variable in model.variables:
        assert variable.dtype == "float32"
        np.testing.assert_array_equal(variable.numpy(), weights[variable.path].astype(np.float16).astype(np.float32))


def test_plain_numpy_reads_the_weights_without_pickle(whole, weights):
    with np.load(whole / "weights.npz", allow_pickle=False) as stored:
        assert set(stored.files) == set(weights) and KERNEL in stored.files
        assert {stored[name].dtype for name in stored.files} == {np.dtype("<f2")}
    size = sum(path.stat().st_size for path in whole.iterdir())
    assert size < 0.7 * sum(array.nbytes for array in weights.values())


def test_the_digest_is_that_which_other_programs_compute(whole):
    said = json.loads((whole / "voice.json").read_text())["weights_sha256"]
    assert said == hashlib.sha256((whole / "weights.npz").read_bytes()).hexdigest()


def test_the_same_weights_give_the_same_file(whole, weights, tmp_path):
    voice_folder.write_weights(tmp_path, weights)
    assert (tmp_path / "weights.npz").read_bytes() == (whole / "weights.npz").read_bytes()


@pytest.mark.parametrize("value", [7e4, -1e30, np.inf, np.nan])
def test_what_float16_cannot_hold_is_named_and_not_written(value, weights, tmp_path):
    spoilt = {**weights, KERNEL: np.full_like(weights[KERNEL], value)}
    with pytest.raises(InputError, match=f"{KERNEL}: holds numbers that float16 cannot hold"):
        voice_folder.write_weights(tmp_path, spoilt)
    assert list(tmp_path.iterdir()) == []


# --- damage


@pytest.mark.parametrize("name", ["feature_spec.json", "model_config.json", "voice.json", "weights.npz"])
@pytest.mark.parametrize("damage", ["gone", "empty", "rubbish", "cut", "folder"])
def test_each_damaged_file_is_one_line(name, damage, folder):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes({"empty": b"", "rubbish": b"\xff" * 5000, "cut": content[: len(content) // 2]}[damage])
    refused(folder, name)


def test_without_readme_it_is_whole_and_without_the_digest_it_is_not(folder):
    path = folder / "voice.json"
    fields = json.loads(path.read_text())
    write_sealed(path, {name: value for name, value in fields.items() if name != "weights_sha256"})
    refused(folder, "weights.npz: changed or damaged")
    path.write_text(json.dumps({**fields, "format_version": 2}))
    refused(folder, "format_version is 2, this version reads 1")


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("model_config.json", '"norm": "instance"', '"norm": "none"'),
        ("feature_spec.json", '"hop_samples": 256', '"hop_samples": 512'),
        ("feature_spec.json", '"target_gain": 100', '"target_gain": 10'),
    ],
)
def test_a_changed_network_or_spec_that_the_weights_would_fit_is_noticed(name, before, after, folder):
    path = folder / name
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    refused(folder, f"{name}: changed or damaged")


def test_a_header_that_is_no_python_is_one_line(folder):
    path = folder / "weights.npz"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "bins/bias.npy"
    assert b"(1025,)" in members[name]
    members[name] = members[name].replace(b"(1025,)", b"(1025, ")
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    seal(folder)
    refused(folder, "weights.npz: cannot read the weights")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("model_config.json", "width", 10**400),
        ("feature_spec.json", "target_gain", 10**400),
        ("model_config.json", "bands", [1] * 3000),
    ],
)
def test_numbers_beyond_all_measure_are_one_line(name, field, value, folder):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    seal(folder)
    refused(folder, name)


def test_a_changed_number_is_noticed_by_the_digest_and_by_the_checksum(folder):
    path = folder / "weights.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(folder, "weights.npz: changed or damaged")
    seal(folder)
    refused(folder, "weights.npz: cannot read the weights .*CRC")


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def header(shape, descr="<f2"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def rewrite(folder, changes, *, compression=zipfile.ZIP_STORED):
    """Puts other members into the weights (None: leaves one out), and names them in voice.json."""
    path = folder / "weights.npz"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.update(changes)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    seal(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "1 weights are there or expected alone, encoder0_conv1/kernel"),
        (b"", "cannot read the weights"),
        (b"\x93NUMPY", "cannot read the weights"),
        (header((1 << 40,)), r"is float16 \[1099511627776\], expected"),
        (header((2, 3)) + b"\0" * 12, r"is float16 \[2, 3\], expected"),
        (header((2, 3), "|O"), "is object"),
        (npy(np.array([{}, []], object), allow_pickle=True), "is object"),
        (npy(np.zeros((2, 3), np.float32)), "is float32"),
        (npy(np.zeros((2, 3), np.float16), version=(2, 0)), "npy version"),
        (npy(np.asfortranarray(np.zeros((2, 3), np.float16))), "Fortran"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF, "cannot read the weights"),
    ],
)
def test_a_member_that_is_no_such_weight_is_refused_before_its_numbers_are_read(content, message, folder):
    rewrite(folder, {f"{KERNEL}.npy": content})
    refused(folder, f"weights.npz: .*{message}")


def test_numbers_that_are_none_too_few_or_too_many_are_refused(folder, weights):
    spoilt = weights[KERNEL].astype(np.float16)
    spoilt.flat[3] = np.nan
    rewrite(folder, {f"{KERNEL}.npy": npy(spoilt)})
    refused(folder, "kernel.npy holds numbers that are none")
    whole = npy(weights[KERNEL].astype(np.float16))
    for content in (whole[:-2], whole + b"\0\0"):
        rewrite(folder, {f"{KERNEL}.npy": content})
        refused(folder, f"kernel.npy has {len(content)} bytes")


def test_foreign_members_compressed_ones_and_two_of_one_name_are_refused(folder, whole):
    rewrite(folder, {"../../evil.npy": b"x"})
    refused(folder, "1 weights are there or expected alone, ../../evil")
    shutil.copy(whole / "weights.npz", folder)
    rewrite(folder, {}, compression=zipfile.ZIP_DEFLATED)
    refused(folder, "weights.npz: (has|.*is compressed)")
    shutil.copy(whole / "weights.npz", folder)
    with zipfile.ZipFile(folder / "weights.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(f"{KERNEL}.npy", b"x")
    seal(folder)
    refused(folder, "two arrays have one name")


def test_a_member_that_claims_to_be_huge_is_refused(folder):
    """Its size in the archive's directory is four gigabytes; nothing like it is allocated."""
    path = folder / "weights.npz"
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)
    seal(folder)
    refused(folder, "weights.npz: cannot read the weights")


@pytest.mark.parametrize(
    ("width", "n_fft", "pitches"), [(4.0, 2048, None), (1 / 128, 1 << 40, None), (1 / 128, 1 << 14, (0, 127))]
)
def test_a_network_far_larger_than_its_weights_is_never_built(width, n_fft, pitches, folder, monkeypatch):
    (folder / "model_config.json").write_text(ModelConfig(width=width, bands=(2,), note_spectra=pitches).to_json())
    (folder / "feature_spec.json").write_text(FeatureSpec(n_fft=n_fft).to_json())
    seal(folder)
    monkeypatch.setattr(unet, "build_performance_net", None)
    refused(folder, "weights.npz: has .* bytes, and the network of spec and config more than")


def test_a_voice_that_names_recordings_or_pitches_that_no_roll_has_is_refused(folder):
    for config, message in (
        (ModelConfig(note_spectra=(60, 62), recordings=("a",)), "a voice has one colour"),
        (ModelConfig(note_spectra=(60, 127)), r"note_spectra is \(60, 127\), and a roll has 100 pitches"),
    ):
        (folder / "model_config.json").write_text(config.to_json())
        n_pitches = 128 if config.recordings else 100
        (folder / "feature_spec.json").write_text(FeatureSpec(n_pitches=n_pitches).to_json())
        facts = json.loads((folder / "voice.json").read_text())
        (folder / "voice.json").write_text(json.dumps({**facts, "pitch_frames": [2] * n_pitches}))
        seal(folder)
        refused(folder, message)


def test_weights_of_another_network_are_refused(folder):
    (folder / "model_config.json").write_text(ModelConfig(width=1 / 128, bands=(2, 1)).to_json())
    seal(folder)
    refused(folder, "weights are there or expected alone")


@pytest.mark.parametrize("name", ["\x1b[31moboe", "oboe\n", "", "o" * 61, 7, None])
def test_an_instrument_that_no_terminal_should_be_shown_is_refused(name, folder):
    voice_folder.write_facts(folder, SPEC, CONFIG, FACTS | {"instrument": name})
    refused(folder, "the instrument's name is no short line of text")


@pytest.mark.parametrize(("name", "value"), [("window_frames", 63), ("loudness_lufs", -21.5), ("instrument", "kazoo")])
def test_changed_facts_are_noticed(name, value, folder):
    path = folder / "voice.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    refused(folder, "facts_sha256 does not fit")


@pytest.mark.parametrize(
    "levels",
    [
        ([0.0] * 1025, None),
        (None, [9.0] * 1025),
        ([0.0] * 1025, "1" * 1025),
        ([True] * 1025, [9.0] * 1025),
        ([0.2] * 1025, [0.1] * 1025),
        ([0.0] * 1025, [9.0] * 1024 + [31.0]),
        ([0.0] * 1024, [9.0] * 1024),
    ],
)
def test_levels_are_both_there_in_order_and_numbers_or_refused(levels, folder):
    path = folder / "voice.json"
    write_sealed(path, {**json.loads(path.read_text()), "noise_floor": levels[0], "ceiling": levels[1]})
    refused(folder, "cannot read what the voice is")


@pytest.mark.parametrize(
    "peaks",
    [3, [[9.0, 10.0]], [[9.0], [0.0, 1.0]], [[], []], [3, [0.0]], [["9"], [0.0]], [[9.0, True], [0.0, 1.0]]]
    + [[[9.0, 9.0], [0.0, 1.0]], [[9.0, 9.0000000001, 10.0], [0.0, 1.0, 1.0]], [[float("nan"), 9.0], [0.0, 1.0]]]
    + [[[10.0, 9.0], [0.0, 1.0]], [[9.0, 31.0], [0.0, 1.0]], [[-1.0, 9.0], [0.0, 1.0]], [[9.0, 10.0], [0.0, -1.0]]]
    + [[[9.0, 10.0], [0.5, 1.0]], [[9.0, 10.0], [0.0, float("nan")]], [[float("nan")], [0.0]], [[9.0, 10.0], [0.0, 31.0]]]
    + [[[9.0, 10.0, 11.0], [0.0, 1.0, 0.5]], [list(range(65)), [0.0] * 65]],
)
def test_peaks_are_a_curve_that_rises_or_refused(peaks, folder):
    path = folder / "voice.json"
    write_sealed(path, {**json.loads(path.read_text()), "peaks": peaks})
    refused(folder, "cannot read what the voice is")


def test_a_voice_from_before_there_were_peaks_has_none(folder):
    path = folder / "voice.json"
    write_sealed(path, {name: fact for name, fact in json.loads(path.read_text()).items() if name != "peaks"})
    assert voice_folder.open_folder(folder)[2]["peaks"] is None


# --- which folder


def test_a_voice_is_found_by_folder_and_by_name(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "voices" / "oboe")
    (tmp_path / "voices" / "__pycache__").mkdir()
    monkeypatch.setattr(voice_folder, "SHIPPED", tmp_path / "voices")
    assert voice_folder.find_voice(str(tmp_path)) == tmp_path
    assert voice_folder.find_voice("oboe") == tmp_path / "voices" / "oboe"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oboe").mkdir()  # recordings, say
    assert voice_folder.find_voice("oboe") == tmp_path / "voices" / "oboe"
    for mark in ("voice.json", "weights.npz", "saved_model.pb", run_folder.RUN_NAME):
        (tmp_path / "oboe" / mark).touch()
        assert voice_folder.find_voice("oboe") == pathlib.Path("oboe")
        (tmp_path / "oboe" / mark).unlink()
    shutil.rmtree(tmp_path / "oboe")
    for name in ("viola", "../voices/oboe", "", str(whole / "voice.json")):
        with pytest.raises(InputError, match=r"no such folder, and no voice of that name is shipped \(oboe\)"):
            voice_folder.find_voice(name)
    monkeypatch.setattr(voice_folder, "SHIPPED", tmp_path / "none")
    with pytest.raises(InputError, match=r"\(none is\); make one with pnet-export"):
        voice_folder.find_voice("oboe")


def test_each_shipped_voice_can_be_opened():
    for name in voice_folder.shipped():
        folder = voice_folder.find_voice(name)
        facts = voice_folder.open_folder(folder)[2]
        assert facts["instrument"] == name
        assert (folder / "README.md").exists()
        assert (folder / "LICENSE.md").read_text() in [path.read_text() for path in (ROOT / "LICENSES").glob("*.md")]
        assert facts["noise_floor"] and facts["ceiling"]


@pytest.mark.parametrize("name", ["voice.json", "model_config.json", "feature_spec.json", "weights.npz"])
def test_a_device_in_the_place_of_a_file_is_not_read(name, folder):
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(InputError, match=f"{name}: .*not a regular file"):
        open_all(folder)
