"""The ranges by which a performance is warned about."""

from pnet_tf import corpus
from pnet_tf.instruments import RANGES


def test_every_instrument_of_the_corpus_has_a_range():
    assert set(corpus.INSTRUMENTS) <= set(RANGES)


def test_open_strings_and_lowest_fingerings():
    """G3 of the violin, C3 of the viola, C2 of the cello, C4 of the flute, A0 to C8 of the piano."""
    lowest = {name: RANGES[name][0] for name in ("violin", "viola", "cello", "flute")}
    assert lowest == {"violin": 55, "viola": 48, "cello": 36, "flute": 60}
    assert RANGES["piano"] == (21, 108)


def test_what_musicnet_holds_lies_inside():
    """Ranges of its solo recordings: cello 36-67, violin 55-86, flute 62-93."""
    for name, (lowest, highest) in {"cello": (36, 67), "violin": (55, 86), "flute": (62, 93)}.items():
        assert RANGES[name][0] <= lowest < highest <= RANGES[name][1]
