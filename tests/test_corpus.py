"""Which recordings are solo recordings, what is counted, and which names are let through."""

import dataclasses

import pytest

from pnet_tf import corpus
from pnet_tf.corpus import INSTRUMENTS, Labels, require_instrument, solo_labels
from pnet_tf.errors import InputError, UsageError
from pnet_tf.score_labels import instrument_name

HEADER = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"


def labels(name: str, *instruments: int, split="train") -> Labels:
    rows = "".join(f"{1000 * i},{1000 * i + 500},{program},60,0,1,Quarter\n" for i, program in enumerate(instruments))
    return Labels(name, split, HEADER + rows, f"{split}_labels/{name}.csv")


def test_the_ids_are_general_midi_programs_plus_one():
    assert INSTRUMENTS["violin"] == 41
    assert INSTRUMENTS["cello"] == 43
    assert INSTRUMENTS["flute"] == 74
    other_names = {"piano": "acoustic grand piano"}
    for name, instrument in INSTRUMENTS.items():
        assert instrument_name(instrument) == other_names.get(name, name)


def test_only_recordings_in_which_the_instrument_is_alone_are_kept():
    others = [labels("2", 41, 43), labels("3", 43), labels("5", 1, 7)]
    items = [labels("1", 41, 41), *others, labels("4", 41, split="test")]
    kept, skipped = solo_labels(items, 41)
    assert {name: item.split for name, item in kept.items()} == {"1": "train", "4": "test"}
    assert dict(skipped) == {corpus.NOT_SOLO: 1, corpus.NOT_PLAYING: 2}


@pytest.mark.parametrize("programs", [(41,), (43,)])
def test_one_recording_in_both_splits_is_refused(programs):
    with pytest.raises(InputError, match=r"test_labels/1\.csv and train_labels/1\.csv: one recording in both splits"):
        solo_labels([labels("1", 41), labels("1", *programs, split="test")], 41)


def test_a_wrong_label_file_is_named():
    with pytest.raises(InputError, match=r"train_labels/1\.csv: line 2"):
        solo_labels([dataclasses.replace(labels("1"), data=HEADER + "a,b,c,d,e,f,g\n")], 41)


def test_counts_are_summed_and_zeros_left_out():
    assert dict(corpus.counted({"b": 1, "a": 2}, {"a": 1, "c": 0})) == {"a": 3, "b": 1}


@pytest.mark.parametrize("name", ["violin", "Violin", " VIOLIN ", "french horn", "French_Horn"])
def test_an_instrument_is_found_whatever_its_case(name):
    assert require_instrument(name) in ("violin", "french horn")


@pytest.mark.parametrize("name", ["", "fiddle", "41"])
def test_an_unknown_instrument_is_wrong_usage_and_lists_those_there_are(name):
    with pytest.raises(UsageError, match="bassoon, cello, clarinet"):
        require_instrument(name)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("2191", True),
        ("Suite 1, Prélude (take-2)", True),
        ("", False),
        (".hidden", False),
        ("..", False),
        ("a/b", False),
        ("a\\b", False),
        ("a\nb", False),
        ("a\0", False),
        ("a" * 200, False),
    ],
)
def test_names_that_cannot_name_a_file_of_ours_are_not_safe(name, safe):
    assert corpus.is_safe_name(name) is safe


def test_a_warning_names_the_first_and_counts_the_others(caplog):
    caplog.set_level("WARNING", logger="absl")
    corpus.warn_left_out("for a reason", [f"{i}.wav" for i in range(9)])
    corpus.warn_left_out("for none", [])
    assert caplog.messages == ["left out, for a reason: 0.wav, 1.wav, 2.wav, 3.wav, 4.wav and 4 more"]
