"""Changes a valid file into one that nearly is: bytes, numbers in text, trees of XML and JSON, members of a zip."""

import copy
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

Mutate = Callable[[bytes, Sequence[bytes], random.Random], bytes]

MOST_BYTES = 1 << 20
_EDGES = (0, 1, -1, 2, 7, 16, 31, 32, 64, 100, 127, 128, 255, 256, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_EDGES += (2**63 - 1, 2**63, 2**64 - 1)
_NUMBERS = ("0", "-1", "1", "127", "128", "65536", "4294967296", "9" * 19, "9" * 40, "1e308", "1e400", "-1e400", "nan", "inf")
_NUMBERS += ("0.0000001", "1/3", "0x10", "\u0663", "1_000", "", " ", "999999", "-0", "+5", "9" * 5000)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_JSON_LEAVES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    10**30,
    0.5,
    1e308,
    float("inf"),
    float("nan"),
)
_JSON_LEAVES += ("", "x", "../x", "/x", "a\0b", "\ud800", "x" * 300, [], {}, [[]], {"": None}, [1, 2], "1", "٣")


def mutate_bytes(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """One to eight changes anywhere: bits, edge values of 1 to 8 bytes, cuts, copies, splices with another file."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(9)
        if kind <= 1 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and at < len(changed):
            changed[at] = rng.randrange(256)
        elif kind <= 4:
            size = rng.choice((1, 2, 4, 8))
            value = (rng.choice(_EDGES) + rng.choice((0, 0, 0, 1, -1))) % (1 << 8 * size)
            changed[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 5:
            del changed[at : at + rng.choice((1, 2, 4, 16, 64, len(changed)))]
        elif kind == 6:
            piece = changed[at : at + rng.choice((1, 4, 16, 256))] * rng.choice((1, 2, 8, 200))
            changed[at:at] = piece[:65536]
        elif kind == 7:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            changed[at : at + rng.choice((0, 8, 64))] = other[begin : begin + rng.choice((4, 32, 512))]
        else:
            changed[at:at] = rng.randbytes(rng.choice((1, 2, 8, 32)))
    return bytes(changed[:MOST_BYTES])


def mutate_text(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Numbers become extreme ones, and lines move; one time in four only bytes change."""
    if rng.random() < 0.25:
        return mutate_bytes(data, others, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.randrange(4)
        found = list(_NUMBER.finditer(data))
        if kind <= 1 and found:
            match = rng.choice(found)
            data = data[: match.start()] + rng.choice(_NUMBERS).encode() + data[match.end() :]
        else:
            lines = data.split(b"\n")
            at = rng.randrange(len(lines))
            if kind == 2:
                lines[at:at] = lines[rng.randrange(len(lines)) :][: rng.choice((1, 2, 10))] * rng.choice((1, 1, 50))
            else:
                del lines[at]
            data = b"\n".join(lines)
    return data[:MOST_BYTES]


def mutate_json(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Values of any type in place of any other, members gone or added; one time in four only bytes change."""
    kind = rng.random()
    if kind < 0.02:
        return rng.choice((b"[", b'{"a":')) * rng.choice((500, 100_000))
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        tree = None
    if kind < 0.25 or not isinstance(tree, dict | list):
        return mutate_bytes(data, others, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        tree = _with_change(tree, rng)
    return json.dumps(tree).encode()[:MOST_BYTES]


def _with_change(tree: Any, rng: random.Random) -> Any:
    places: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        node = pending.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        pending += [node[key] for key in keys]
    if not places or rng.random() < 0.01:
        return copy.deepcopy(rng.choice(_JSON_LEAVES))
    node, key = rng.choice(places)
    kind = rng.randrange(6)
    if kind <= 2:
        node[key] = copy.deepcopy(rng.choice(_JSON_LEAVES))
    elif kind == 3 and isinstance(node[key], int | float):
        node[key] = node[key] * rng.choice((-1, 2, 10**6, 0.5)) + rng.choice((0, 1, -1))
    elif kind == 4:
        del node[key]
    elif isinstance(node, dict):
        node[rng.choice(("x", "", "__class__", "self", str(key).upper()))] = copy.deepcopy(rng.choice(_JSON_LEAVES))
    else:
        node.insert(key, copy.deepcopy(node[rng.randrange(len(node))]))
    return tree


_XML_TEXTS = (
    *_NUMBERS,
    "start",
    "stop",
    "both",
    "C",
    "H",
    "-9",
    "quarter",
    "1024th",
    "maxima",
    "yes",
    "percussion",
    "&",
    "\u266f",
)


def mutate_xml(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Elements gone, doubled or elsewhere, texts and attributes extreme; one time in five only bytes or numbers change."""
    kind = rng.random()
    if kind < 0.1:
        return mutate_bytes(data, others, rng)
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError):
        return mutate_text(data, others, rng)
    if kind < 0.2:
        return mutate_text(data, others, rng)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        _change_element(root, rng)
    return ElementTree.tostring(root, encoding=rng.choice(("utf-8", "utf-8", "utf-16", "us-ascii")))[:MOST_BYTES]


def _change_element(root: ElementTree.Element, rng: random.Random) -> None:
    elements = list(root.iter())
    parent = rng.choice([element for element in elements if len(element)] or [root])
    kind = rng.randrange(8)
    target = rng.choice(elements)
    if kind == 0 and len(parent):
        parent.remove(rng.choice(list(parent)))
    elif kind == 1 and len(parent):
        child = rng.choice(list(parent))
        for _ in range(rng.choice((1, 1, 2, 30))):
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(child))
    elif kind == 2 and len(elements) < 5000:
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(target))
    elif kind == 3:
        target.tag = rng.choice(elements).tag
    elif kind == 4 and target.attrib:
        target.set(rng.choice(list(target.attrib)), rng.choice(_XML_TEXTS))
    elif kind == 5:
        target.set(rng.choice(("number", "type", "id", "times", "tempo", "print-object")), rng.choice(_XML_TEXTS))
    else:
        leaf = rng.choice([element for element in elements if not len(element)] or [root])
        leaf.text = rng.choice(_XML_TEXTS)


def zipped(mutate_member: Mutate) -> Mutate:
    """Changes one member of a zip and packs it anew; one time in four the packed bytes, or names and order, change."""

    def mutate(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
        """The changed archive."""
        kind = rng.random()
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [(info, archive.read(info)) for info in archive.infolist()]
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            members = []
        if kind < 0.25 or not members:
            return mutate_bytes(data, others, rng)
        at = rng.randrange(len(members))
        info, content = members[at]
        if kind < 0.9:
            members[at] = info, mutate_member(content, [item for _, item in members], rng)
        elif kind < 0.94:
            del members[at]
        else:
            members.append(
                (zipfile.ZipInfo(rng.choice(("../x.npy", "/x", info.filename, "", "a\\b.npy", "x" * 5000))), content)
            )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for info, content in members:
                plain = zipfile.ZipInfo(info.filename)
                archive.writestr(plain, content, rng.choice((info.compress_type, zipfile.ZIP_DEFLATED)))
        return packed.getvalue()[:MOST_BYTES]

    return mutate
