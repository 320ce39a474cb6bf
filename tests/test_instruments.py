"""The one table of instruments, and what is read from it."""

from absl import flags as absl_flags

from pnet_tf import corpus, prepare, train
from pnet_tf.instruments import INSTRUMENTS, MUSICNET_IDS, RANGES


def test_every_instrument_has_an_id_of_its_own_and_a_range_on_the_keyboard():
    assert len(set(MUSICNET_IDS.values())) == len(INSTRUMENTS)
    for name, instrument in INSTRUMENTS.items():
        assert 1 <= instrument.musicnet_id <= 128
        assert 0 <= instrument.lowest < instrument.highest <= 127
        assert RANGES[name] == (instrument.lowest, instrument.highest)


def test_preparing_and_training_know_those_of_the_table():
    assert corpus.INSTRUMENTS is MUSICNET_IDS
    flags = absl_flags.FlagValues()
    prepare.define_flags(flags)
    assert ", ".join(INSTRUMENTS) in flags["instrument"].help
    flags = absl_flags.FlagValues()
    train.define_flags(flags)
    assert flags["instrument"].parser.enum_values == sorted(INSTRUMENTS)


def test_open_strings_and_lowest_fingerings():
    """G3 of the violin, C3 of the viola, C2 of the cello, C4 of the flute, A0 to C8 of the piano."""
    lowest = {name: RANGES[name][0] for name in ("violin", "viola", "cello", "flute")}
    assert lowest == {"violin": 55, "viola": 48, "cello": 36, "flute": 60}
    assert RANGES["piano"] == (21, 108)


def test_what_musicnet_holds_lies_inside():
    """Ranges of its solo recordings: cello 36-67, violin 55-86, flute 62-93."""
    for name, (lowest, highest) in {"cello": (36, 67), "violin": (55, 86), "flute": (62, 93)}.items():
        assert RANGES[name][0] <= lowest < highest <= RANGES[name][1]
