"""Small valid files of every kind that pnet_tf reads, to begin an attack from."""

import io
import json
import pathlib
import pickle
import zipfile

import numpy as np
import soundfile

from pnet_tf.shard_set import Manifest, RecordingEntry
from pnet_tf.spec import FeatureSpec
from tests.attack.formats import midi, number, tar
from tests.small_corpus import HEADER

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples"
SPEC = FeatureSpec()


def label_csvs() -> list[bytes]:
    """Labels as MusicNet writes them, and as people do."""
    rows = [f"{i * 9000},{i * 9000 + 8000},41,{55 + i % 12},{i}.0,1.0,Quarter" for i in range(8)]
    mixed = ["note,instrument,end_time,start_time", '60,41,"44100",0', "62,43,88200,44100", ""]
    return ["\n".join([HEADER, *rows, ""]).encode(), "\r\n".join(mixed).encode("utf-8-sig")]


def midis() -> list[bytes]:
    """An exported score, and tracks with running status, tempos, metres, percussion and notes without an end."""
    notes = b"".join(b"\0\x90" + bytes([60 + i, 80]) + number(240) + bytes([60 + i, 0]) for i in range(6))
    tempos = (
        b"\0\xff\x51\x03\x07\xa1\x20\0\xff\x58\x04\x03\x02\x18\x08" + number(960) + b"\xff\x51\x03\x03\xd0\x90\0\xff\x2f\0"
    )
    named = b"\0\xff\x03\x06violin\0\xc0\x28" + notes + b"\0\xff\x2f\0"
    drums = b"\0\x99\x24\x7f\0\xf0\x03\1\2\xf7\0\x90\x40\x40" + number(480) + b"\xff\x2f\0"
    example = (EXAMPLES / "ode_to_joy_flute.mid").read_bytes()
    return [example, midi([tempos, named]), midi([named, drums], division=0xE728), midi([named], kind=0)]


def musicxmls() -> list[bytes]:
    """Every second bar of thought a reader has: repeats, ties, grace notes, transposition, tempos, chords, cue notes."""
    measures = """<measure number="1"><attributes><divisions>2</divisions><key><fifths>1</fifths></key><time><beats>3</beats>
<beat-type>4</beat-type></time><clef><sign>G</sign><line>2</line></clef><transpose><diatonic>-1</diatonic>
<chromatic>-2</chromatic></transpose></attributes><direction><direction-type><metronome><beat-unit>quarter</beat-unit>
<per-minute>90</per-minute></metronome></direction-type><sound tempo="90"/></direction><note><grace/><pitch><step>D</step>
<octave>5</octave></pitch><type>eighth</type></note><note><pitch><step>C</step><alter>1</alter><octave>5</octave></pitch>
<duration>4</duration><tie type="start"/><type>half</type></note><note><chord/><pitch><step>E</step><octave>5</octave></pitch>
<duration>4</duration><type>half</type></note><note><rest/><duration>2</duration></note></measure>
<measure number="2"><barline location="left"><repeat direction="forward"/></barline><note><pitch><step>C</step><alter>1</alter>
<octave>5</octave></pitch><duration>2</duration><tie type="stop"/><type>quarter</type></note><note><cue/><pitch><step>A</step>
<octave>4</octave></pitch><duration>2</duration></note><backup><duration>2</duration></backup><forward><duration>2</duration>
</forward><note><pitch><step>B</step><octave>4</octave></pitch><duration>2</duration><notations><articulations><staccato/>
</articulations><ornaments><trill-mark/></ornaments><slur number="1" type="start"/></notations></note>
<barline location="right"><ending number="1" type="stop"/><repeat direction="backward" times="2"/></barline></measure>
<measure number="3"><harmony><root><root-step>C</root-step></root><kind>major</kind></harmony><note><pitch><step>G</step>
<octave>4</octave></pitch><duration>6</duration><lyric><text>la</text></lyric><dot/></note></measure>"""
    head = (
        '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="4.0"><part-list><score-part id="P1"><part-name>Violin'
    )
    head += '</part-name><score-instrument id="I1"><instrument-name>Violin</instrument-name></score-instrument></score-part>'
    text = f'{head}</part-list><part id="P1">{measures}</part></score-partwise>'
    return [
        text.encode(),
        text.replace("<chord/>", "").replace("<cue/>", "<dot/>").replace("UTF-8", "UTF-16").encode("utf-16"),
    ]


def mxls() -> list[bytes]:
    """Compressed MusicXML."""
    container = '<container><rootfiles><rootfile full-path="s.xml"/></rootfiles></container>'
    return [zipped({"META-INF/container.xml": container.encode(), "s.xml": musicxmls()[0]})]


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return packed.getvalue()


TEXTS = {
    "abc": ["X:1\nT:a\nM:3/4\nL:1/8\nQ:1/4=90\nK:G\n|:D2 E>F G2|(3ABc d2 [CE]2:|\n|{g}A4-A2|z2 ^F,2 B'2|]\n"],
    "krn": ["**kern\n*M3/4\n*k[f#]\n*MM90\n=1\n4c\n8dL\n8eJ\n[4g\n=2\n4g]\n4r\n4cc#\n==\n*-\n"],
    "mei": [
        '<mei xmlns="http://www.music-encoding.org/ns/mei"><music><body><mdiv><score><scoreDef meter.count="3" meter.unit="4">'
        '<staffGrp><staffDef n="1" lines="5" clef.shape="G" clef.line="2"/></staffGrp></scoreDef><section><measure n="1"><staff '
        'n="1"><layer n="1"><note pname="c" oct="5" dur="4"/><chord dur="4"><note pname="e" oct="4"/></chord><rest dur="4"/>'
        "</layer></staff></measure></section></score></mdiv></body></music></mei>"
    ],
    "tntxt": ["3/4 c4 d8 f g16 a g f# trip{c8 d e} r4 c~ c2. BB4\n"],
}


def texts(kind: str) -> list[bytes]:
    """Scores in a text format of music21, by suffix."""
    return [text.encode() for text in TEXTS[kind]]


def specs() -> list[bytes]:
    """feature_spec.json."""
    return [SPEC.to_json().encode()]


def entry(**fields: object) -> RecordingEntry:
    """A recording of a manifest."""
    values = dict(name="a", split="train", shard="a.tfrecord", n_frames=500, n_notes=7, seconds=2.9, label_source="a.csv")
    values |= dict(
        label_counts={"cut": 1, "dropped": 0}, alignment={"onset_share": 0.5, "warnings": ["late"]}, level_gain=0.5
    )
    values |= dict(pitch_frames=(0, 4, 0), size_bytes=2_000_000, sha256="00", byte_offsets=(0, 40, 80))
    values |= dict(ranges={"train": ((0, 200), (400, 500)), "validation": ((250, 350),)})
    return RecordingEntry(**{**values, **fields})


def manifests() -> list[bytes]:
    """manifest.json."""
    test = entry(name="b", split="test", shard="b.tfrecord", ranges={"test": ((0, 500),)})
    return [Manifest("violin", "folder", 216, 50, (entry(), test), {"bad": "not readable"}).to_json().encode()]


def npzs_of_pickles() -> list[bytes]:
    """A musicnet.npz, in two protocols."""
    import intervaltree

    both = np.empty(2, object)
    tree = intervaltree.IntervalTree.from_tuples(
        [(100, 200, (41, 60, 0, 0.5, "Quarter")), (200, 350, (41, 62, 1, 1.0, "Half"))]
    )
    both[0], both[1] = np.linspace(-1, 1, 20, dtype=np.float32), tree
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"
    start = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header
    return [zipped({f"{n}.npy": start + pickle.dumps(both, protocol) for n in (1, 1759)}, 0) for protocol in (2, 4)]


def tars() -> list[bytes]:
    """A musicnet.tar.gz, packed and plain."""
    audio = sound("WAV", "FLOAT", n_samples=50)
    members = {
        f"musicnet/{s}_{w}": c
        for s in ("train", "test")
        for w, c in (("data/1.wav", audio), ("labels/1.csv", label_csvs()[0]))
    }
    members = {
        name.replace("test_data/1", "test_data/2").replace("test_labels/1", "test_labels/2"): c for name, c in members.items()
    }
    return [tar(members), tar(members, mode="w:gz")]


def sound(kind: str, subtype: str, *, n_samples: int = 600, rate_hz: int = 44100, n_channels: int = 1) -> bytes:
    """A fading tone in an audio format, bytes of the file: float32 [n_samples, n_channels]."""
    tone = np.sin(np.arange(n_samples) / 8) * np.linspace(0.5, 0, n_samples)
    packed = io.BytesIO()
    soundfile.write(packed, np.repeat(tone[:, None], n_channels, 1).astype(np.float32), rate_hz, format=kind, subtype=subtype)
    return packed.getvalue()


SOUNDS = {
    "wav": [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("WAV", "IMA_ADPCM"),
        ("RF64", "PCM_16"),
        ("W64", "DOUBLE"),
    ],
    "flac": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
    "mp3": [("MP3", "MPEG_LAYER_III")],
    "ogg": [("OGG", "VORBIS"), ("OGG", "OPUS")],
}


def sounds(suffix: str) -> list[bytes]:
    """Audio files in the formats that a suffix stands for, of one channel and of two, and at another rate."""
    made = []
    for kind, subtype in SOUNDS[suffix]:
        rates = (48000,) if subtype == "OPUS" else (44100, 48000)
        made += [sound(kind, subtype, rate_hz=rate_hz, n_channels=n) for rate_hz, n in zip(rates, (1, 2), strict=False)]
    return made


def weights() -> list[bytes]:
    """weights.npz of a voice of three weights."""
    packed = io.BytesIO()
    np.savez(
        packed, **{"a/kernel": np.ones((3, 2, 2), "<f2"), "a/bias": np.zeros(2, "<f2"), "b/kernel": np.ones((1, 4), "<f2")}
    )
    return [packed.getvalue()]


def checkpoints() -> list[bytes]:
    """step-000000001.npz of a training."""
    plateau = {"learning_rate": 1e-3, "best_loss": 2.0, "n_bad": 1, "n_since_best": 1}
    progress = json.dumps({"step": 1, "plateau": plateau, "seed": 0, "epoch": 0, "validated_step": 0}).encode()
    packed = io.BytesIO()
    arrays = {
        "model/a/kernel": np.ones((3, 2)),
        "optimizer/00000": np.int64(1),
        "progress": np.frombuffer(progress, np.uint8),
    }
    np.savez(packed, **arrays)
    return [packed.getvalue()]
