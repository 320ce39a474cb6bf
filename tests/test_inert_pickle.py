"""Pickles of MusicNet's kind are read; any other name in a pickle is refused before anything of it runs."""

import io
import os
import pickle
import pickletools
import tracemalloc

import intervaltree
import numpy as np
import pytest

from pnet_tf import inert_pickle
from pnet_tf.errors import InputError
from pnet_tf.inert_pickle import Array, Interval, IntervalTree, load_objects

WAVEFORM = np.linspace(-1, 1, 7, dtype=np.float32)
NOTES = [(100, 200, (41, 60, 0, 0.5, "Quarter")), (200, 350, (41, 62, 1, 1.0, "Half"))]


def objects(waveform=WAVEFORM, notes=NOTES) -> np.ndarray:
    both = np.empty(2, object)
    both[0], both[1] = waveform, intervaltree.IntervalTree.from_tuples(notes)
    return both


def load(data: bytes):
    return load_objects(io.BytesIO(data), where="musicnet.npz: 1.npy")


def refused(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        load(data)
    assert str(caught.value).startswith("musicnet.npz: 1.npy: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_real_arrays_and_intervals_come_out_as_stand_ins(protocol):
    array, tree = load(pickle.dumps(objects(), protocol))
    assert type(array) is Array
    np.testing.assert_array_equal(array.value, WAVEFORM)
    assert array.value.dtype == np.float32
    assert type(tree) is IntervalTree
    assert all(type(interval) is Interval for interval in tree.intervals)
    assert sorted((i.begin, i.end, i.data) for i in tree.intervals) == NOTES


def python_2_pickle(samples: bytes, notes) -> bytes:
    """What Python 2 wrote: byte strings (opcodes U and T), numbers in the intervals as numpy scalars and longs."""

    def text(data: bytes) -> bytes:
        return b"T" + len(data).to_bytes(4, "little") + data

    def dtype(name: bytes, order: bytes) -> bytes:
        state = b"K\x03U\x01" + order + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00"
        return b"cnumpy\ndtype\nU" + bytes([len(name)]) + name + b"K\x00K\x01\x87R(" + state + b"tb"

    def array(n: int, of: bytes, content: bytes) -> bytes:
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        return start + b"(K\x01K" + bytes([n]) + b"\x85" + of + b"\x89" + content + b"tb"

    def number(value: int) -> bytes:
        return b"cnumpy.core.multiarray\nscalar\n" + dtype(b"i8", b"<") + text(value.to_bytes(8, "little")) + b"\x86R"

    def interval(begin: int, end: int, data) -> bytes:
        inside = b"(K" + bytes([data[0]]) + b"K" + bytes([data[1]]) + b"\x8a\x01\x00U\x04Half" + b"t"
        return b"cintervaltree.interval\nInterval\n" + number(begin) + number(end) + inside + b"\x87R"

    tree = b"cintervaltree.intervaltree\nIntervalTree\n](" + b"".join(interval(*note) for note in notes) + b"e\x85R"
    waveform = array(len(samples) // 4, dtype(b"f4", b"<"), text(samples))
    return b"\x80\x02" + array(2, dtype(b"O8", b"|"), b"](" + waveform + tree + b"e") + b"."


def test_what_python_2_wrote_comes_out_the_same():
    data = python_2_pickle(WAVEFORM.tobytes(), NOTES)
    assert any(opcode.name == "BINSTRING" for opcode, _, _ in pickletools.genops(data))
    array, tree = load(data)
    np.testing.assert_array_equal(array.value, WAVEFORM)
    assert [(i.begin, i.end, i.data[:2]) for i in tree.intervals] == [(b, e, d[:2]) for b, e, d in NOTES]
    assert type(tree.intervals[0].begin) is int


def test_a_tree_pickled_by_its_attributes_comes_out_too():
    intervals = {intervaltree.Interval(*note) for note in NOTES}
    state = {"all_intervals": intervals, "top_node": intervaltree.node.Node.from_intervals(intervals)}
    body = pickle.dumps(state, 2).removeprefix(b"\x80\x02").removesuffix(b".")
    tree = b"cintervaltree.intervaltree\nIntervalTree\n)\x81" + body + b"b"
    array = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8\x85R\x89](" + tree + b"etb"
    (loaded,) = load(b"\x80\x02" + array + b".")
    assert sorted((i.begin, i.end, i.data) for i in loaded.intervals) == NOTES


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i2"])
def test_arrays_of_plain_numbers_keep_type_and_order(dtype):
    samples = np.arange(5).astype(dtype)
    value = load(pickle.dumps(objects(samples), 2))[0].value
    assert value.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(value, samples)


def test_fortran_order_is_kept():
    matrix = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(load(pickle.dumps(objects(matrix), 2))[0].value, matrix)


# --- what is refused


class Runs:
    """Its pickle makes a folder when it is loaded plainly."""

    def __init__(self, path, function=os.mkdir):
        self.path, self.function = path, function

    def __reduce__(self):
        return self.function, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_named_and_does_not_run(tmp_path, protocol):
    poisoned = objects()
    poisoned[1] = Runs(tmp_path / "ran")
    data = pickle.dumps(poisoned, protocol)
    assert "asks to load posix.mkdir" in refused(data)
    assert list(tmp_path.iterdir()) == []
    pickle.loads(data)  # the pickle is a working one
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins\neval",
        "__builtin__\neval",
        "os\nsystem",
        "builtins\ngetattr",
        "numpy\nload",
        "numpy.core.multiarray\nfromfile",
        "intervaltree\nsys",
        "pnet_tf.inert_pickle\npickle",
        "copyreg\n_reconstructor",
        "subprocess\nPopen",
    ],
)
def test_any_other_name_is_refused(name):
    assert "refused: the file asks to load" in refused(f"\x80\x02c{name}\n.".encode("latin1"))


def test_a_dotted_name_does_not_reach_through_an_allowed_one():
    parts = b"".join(b"\x8c" + bytes([len(part)]) + part for part in (b"numpy", b"ndarray.tofile"))
    assert "numpy.ndarray.tofile" in refused(b"\x80\x04" + parts + b"\x93.")


@pytest.mark.parametrize("name", ["numpy\nndarray", "numpy\ndtype", "_codecs\nencode", "builtins\nset"])
def test_a_pickle_cannot_change_the_stand_ins(name):
    before = {key: dict(vars(stand_in)) for key, stand_in in inert_pickle._STAND_INS.items()}
    state = b"}U\x01xK\x01s"
    refused(f"\x80\x02c{name}\n".encode("latin1") + state + b"b.")
    refused(f"\x80\x02c{name}\n".encode("latin1") + b"N" + state + b"\x86b.")
    assert {key: dict(vars(stand_in)) for key, stand_in in inert_pickle._STAND_INS.items()} == before


@pytest.mark.parametrize("dtype", [np.dtype([("a", "f4")]), np.dtype("U4"), np.dtype("V8"), np.dtype("M8[s]")])
def test_arrays_of_anything_but_plain_numbers_are_refused(dtype):
    assert "plain numbers" in refused(pickle.dumps(objects(np.zeros(3, dtype)), 2))


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_a_damaged_pickle_is_one_line(cut):
    assert "damaged" in refused(pickle.dumps(objects(), 2)[:cut])


def test_random_bytes_end_in_one_line_or_are_refused():
    rng = np.random.default_rng(0)
    data = bytearray(pickle.dumps(objects(), 2))
    for _ in range(300):
        broken = bytearray(data)
        for at in rng.integers(2, len(data), 3):
            broken[at] = rng.integers(256)
        try:
            load(bytes(broken))
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("value", [1, "text", [1, 2], WAVEFORM])
def test_what_is_no_array_of_objects_is_refused(value):
    assert "expected an array of objects" in refused(pickle.dumps(value, 2))


# --- what would take memory, or time, that the file's size does not explain


@pytest.mark.parametrize(
    "asking",
    [b"r\xff\xff\xff\x7f", b"p2147483647\n", b"B\xff\xff\xff\x7f", *(op + b"\xff" * 7 + b"\x7f" for op in (b"\x96", b"\x8e"))],
    ids=["LONG_BINPUT", "PUT", "BINBYTES", "BYTEARRAY8", "BINBYTES8"],
)
def test_an_opcode_that_asks_for_gigabytes_is_refused_before_it_gets_them(asking):
    tracemalloc.start()
    try:
        refused(b"\x80\x04N" + asking + b".")
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("copier", [b"cbuiltins\nset\n", b"cintervaltree\nIntervalTree\n"])
def test_a_list_copied_over_and_over_is_refused(copier):
    """2 MB that would become 80 GB: the copies are named in five bytes each, and all kept."""
    many = b"](" + b"N" * 100_000 + b"eq\x00\x85q\x010"
    copies = b"](" + (copier + b"q\x020") + b"(" + b"h\x02h\x01R" * 100_000 + b"l."
    assert "copied over and over" in refused(b"\x80\x02" + many + copies)


def test_a_waveform_may_be_of_any_size():
    waveform = np.zeros(2_000_000, np.float32)
    for protocol in (2, 4):
        assert len(load(pickle.dumps(objects(waveform), protocol))[0].value) == len(waveform)
