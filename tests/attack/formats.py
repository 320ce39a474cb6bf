"""Mutators that know a format: MIDI events, pickle opcodes, tar headers, TFRecord and Ogg with their checksums mended."""

import gzip
import io
import pickletools
import random
import struct
import tarfile
import zlib
from collections.abc import Sequence

from tests.attack.mutation import MOST_BYTES, mutate_bytes, mutate_text, zipped


def number(value: int) -> bytes:
    """A variable-length number of MIDI."""
    out = bytes([value & 0x7F])
    while value := value >> 7:
        out = bytes([value & 0x7F | 0x80]) + out
    return out


def midi(tracks: Sequence[bytes], *, kind: int = 1, division: int = 480, n_tracks: int | None = None) -> bytes:
    """A MIDI file of tracks, each the bytes of its events."""
    head = struct.pack(">HHH", kind, len(tracks) if n_tracks is None else n_tracks, division % 65536)
    return b"MThd\0\0\0\6" + head + b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)


_METAS = (
    b"\xff\x51\x03\x07\xa1\x20",
    b"\xff\x51\x03\0\0\0",
    b"\xff\x51\x03\0\0\1",
    b"\xff\x51\x03\xff\xff\xff",
    b"\xff\x51\x01\1",
)
_METAS += (
    b"\xff\x58\x04\x04\x02\x18\x08",
    b"\xff\x58\x04\x01\x07\x18\x08",
    b"\xff\x58\x04\x00\x00\x18\x08",
    b"\xff\x58\x01\x03",
)
_METAS += (
    b"\xff\x03\x04\xff\xfe\0\n",
    b"\xff\x2f\x00",
    b"\xf0\x03\1\2\xf7",
    b"\xf7\x7f",
    b"\xff\x7f\xff\xff\xff\x7f",
    b"\xff",
)
_TICKS = (0, 0, 0, 1, 10, 120, 480, 480, 5000, 100_000, 2**28 - 1)


def _events(rng: random.Random) -> bytes:
    """A track of events that follow MIDI's grammar, mostly."""
    track = b""
    for _ in range(rng.choice((0, 1, 4, 20, 60))):
        track += number(rng.choice(_TICKS))
        kind = rng.random()
        if kind < 0.1:
            track += rng.choice(_METAS)
        elif kind < 0.13:
            track += rng.randbytes(rng.randrange(1, 4))
        else:
            status = rng.choice((0x80, 0x90, 0x90, 0x90, 0xB0, 0xC0, 0xE0, 0xA0, 0xD0)) | rng.choice((0, 0, 0, 1, 9, 15))
            values = bytes([rng.choice((60, 62, 0, 127, 64, 123)), rng.choice((0, 64, 127))])
            track += bytes([status]) + values[: 1 if status & 0xF0 in (0xC0, 0xD0) else 2]
    return track + rng.choice((b"\0\xff\x2f\0", b"\0\xff\x2f\0", b"", b"\xff\xff\xff\x7f\xff\x2f\0"))


def mutate_midi(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """New tracks of events half the time; else changed bytes, with the lengths of tracks mended half the time."""
    kind = rng.random()
    if kind < 0.5:
        tracks = [_events(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 10)))]
        if kind < 0.01:
            tracks *= 2000
        division = rng.choice((480, 480, 1, 0, 0x7FFF, 0xE728, 0xE250, 0x8000, 0xE700, 96))
        n_tracks = rng.choice((None, None, None, 0, len(tracks) + 1, 65535))
        return midi(tracks, kind=rng.choice((0, 1, 1, 1, 2, 9)), division=division, n_tracks=n_tracks)[:MOST_BYTES]
    changed = mutate_bytes(data, others, rng)
    at = changed.find(b"MTrk")
    if kind < 0.75 and at >= 0:
        body = changed[at + 8 :]
        changed = changed[: at + 4] + len(body).to_bytes(4, "big") + body
    return changed


_OPCODES = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
_GLOBALS = (b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n")
_GLOBALS += (
    b"cintervaltree\nIntervalTree\n",
    b"cintervaltree\nInterval\n",
    b"cnumpy.core.multiarray\nscalar\n",
    b"cbuiltins\nset\n",
)
_GLOBALS += (b"cnumpy.core.multiarray\n_reconstruct\n", b"cintervaltree.node\nNode\n", b"cposix\nmkdir\n")
_OPERANDS = (
    b"",
    b"(",
    b")",
    b"]",
    b"}",
    b"N",
    b"K\1",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x08" + b"\xff" * 8,
    b"U\3f4<",
    b"X\1\0\0\0a",
)
_OPERANDS += (
    b"B\xff\xff\xff\x7f",
    b"T\xff\xff\xff\x7f",
    b"\x8e" + b"\xff" * 8,
    b"\x95" + b"\xff" * 8,
    b"r\xff\xff\xff\x7f",
    b"((((",
)
_OPERANDS += (
    b"\x96" + b"\xff" * 7 + b"\x7f",
    b"\x8b\xff\xff\xff\x7f",
    b"I1e9\n",
    b"L" + b"9" * 6000 + b"L\n",
    b"h\0",
    b"j\0\0\0\0",
)


def _mutate_npy(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Opcodes and names put into a pickle, between those that are there two times in three."""
    if rng.random() < 0.4:
        return mutate_bytes(data, others, rng)
    begin = data.find(b"\x80") + 2
    places = [begin]
    if rng.random() < 0.7:
        try:
            places += [begin - 2 + place for _, _, place in pickletools.genops(data[begin - 2 :])]
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.choice(places)
        piece = rng.choice((_OPCODES, _GLOBALS, _OPERANDS))
        data = data[:at] + rng.choice(piece) * rng.choice((1, 1, 1, 2, 300)) + data[at:]
    return data[:MOST_BYTES]


mutate_npz_of_pickles = zipped(_mutate_npy)


def mutate_tar(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Types, names and sizes of members change with their header's checksum mended; or bytes do, without."""
    if rng.random() < 0.4 or len(data) < 512:
        return mutate_bytes(data, others, rng)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        at = 512 * rng.randrange(len(changed) // 512)
        kind = rng.randrange(5)
        if kind == 0:
            changed[at + 156] = rng.choice(b"0\x001234567gxLKSV\xff")
        elif kind == 1:
            changed[at + 124 : at + 136] = rng.choice(
                (b"77777777777\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"00000000001\0", b"-1".ljust(12))
            )
        elif kind == 2:
            name = rng.choice(
                (b"../train_data/1.wav", b"/train_labels/1.csv", b"train_labels/..csv", b"\xff\xfe", b"train_data/2.wav")
            )
            changed[at : at + 100] = name.ljust(100, b"\0")
        else:
            place = rng.randrange(at, at + 512)
            changed[place] = rng.randrange(256)
        changed[at + 148 : at + 156] = b" " * 8
        changed[at + 148 : at + 156] = b"%06o\0 " % (sum(changed[at : at + 512]) % 8**6)
    return bytes(changed)


def tar(members: dict[str, bytes], *, mode: str = "w") -> bytes:
    """A tar of files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _table(polynomial: int, *, reflected: bool) -> list[int]:
    table = []
    for byte in range(256):
        value = byte if reflected else byte << 24
        for _ in range(8):
            if reflected:
                value = value >> 1 ^ (polynomial if value & 1 else 0)
            else:
                value = (value << 1 ^ (polynomial if value >> 31 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC32C, _CRC_OGG = _table(0x82F63B78, reflected=True), _table(0x04C11DB7, reflected=False)


def _masked_crc32c(data: bytes) -> bytes:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC32C[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    return (((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def tfrecord(records: Sequence[bytes]) -> bytes:
    """TFRecord framing with right checksums."""
    parts = [(len(record).to_bytes(8, "little"), record) for record in records]
    return b"".join(size + _masked_crc32c(size) + record + _masked_crc32c(record) for size, record in parts)


def mutate_tfrecord(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Changed bytes; half the time inside records only, whose checksums are mended."""
    if rng.random() < 0.5:
        return mutate_bytes(data, others, rng)
    records, at = [], 0
    while at + 16 <= len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        records.append(data[at + 12 : at + 12 + size])
        at += size + 16
    if not records:
        return mutate_bytes(data, others, rng)
    index = rng.randrange(len(records))
    head = rng.choice((64, len(records[index])))
    records[index] = mutate_bytes(records[index][:head], records, rng) + records[index][head:]
    if rng.random() < 0.1:
        del records[rng.randrange(len(records))]
    return tfrecord(records)[:MOST_BYTES]


def mutate_ogg(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Changed bytes, most of them near the headers; the checksum of the pages is mended three times in four."""
    head = rng.choice((60, 400, len(data)))
    changed = mutate_bytes(data[:head], others, rng) + data[head:]
    if rng.random() < 0.25:
        return changed
    pages = changed.split(b"OggS")
    for index, page in enumerate(pages[1:], 1):
        value, blank = 0, b"OggS" + page[:18] + bytes(4) + page[22:]
        for byte in blank:
            value = (value << 8 & 0xFFFFFFFF) ^ _CRC_OGG[value >> 24 ^ byte]
        pages[index] = page[:18] + value.to_bytes(4, "little") + page[22:]
    return b"OggS".join(pages)


def mutate_head(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Changed bytes, most of them in the headers."""
    head = rng.choice((48, 64, 128, 600, len(data)))
    return mutate_bytes(data[:head], others, rng) + data[head:]


def mutate_packed(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """The content of a tar, gzipped one time in four."""
    try:
        plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" and rng.random() < 0.7 else data
    except (OSError, EOFError, zlib.error):
        plain = data
    changed = mutate_tar(plain, others, rng) if plain[:2] != b"\x1f\x8b" else mutate_bytes(plain, others, rng)
    return gzip.compress(changed, 1) if rng.random() < 0.25 else changed


__all__ = ["midi", "mutate_head", "mutate_midi", "mutate_npz_of_pickles", "mutate_ogg", "mutate_packed", "mutate_text"]
__all__ += ["mutate_tfrecord", "tar", "tfrecord"]
