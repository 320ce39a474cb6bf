"""MusicXML, plain or compressed, and other text formats of music21 to a `Score`: bars, tempos, parts, repeats."""

import collections
import contextlib
import dataclasses
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

from absl import logging

from pnet_tf import limits
from pnet_tf.score_bounds import bounded
from pnet_tf.score_notes import PartName, Score, ScoreError, choose_part, score_from_notes
from pnet_tf.score_performed import WrittenBar, WrittenNote, bars_and_notes, times_from_tempos
from pnet_tf.score_xml_guard import check_xml

# Formats that music21 reads from plain text, by suffix. None of them can carry code, as its own pickles can.
TEXT_FORMATS = {".krn": "humdrum", ".abc": "abc", ".mei": "mei", ".tntxt": "tinynotation"}
_DEFAULT_QUARTERS_PER_MINUTE = Fraction(120)
# A larger file says that it is being read.
_LARGE_BYTES = 2_000_000


@dataclasses.dataclass(frozen=True)
class _WrittenPart:
    """A part as written, sounding pitch: its name, its bars, and what music21 called it."""

    name: PartName
    bars: list[WrittenBar]
    stream: Any


def score_from_mxl(data: bytes, *, name: str, where: str, part: str | None = None) -> Score:
    """The notes of one part of compressed MusicXML; arguments and errors as `score_from_xml`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            container = _read_member(archive, "META-INF/container.xml", where)
            check_xml(container, where)
            files = ElementTree.fromstring(container).iter()
            paths = [element.get("full-path") for element in files if element.tag.rpartition("}")[2] == "rootfile"]
            if not paths or not paths[0]:
                raise ScoreError(f"{where}: no score named in META-INF/container.xml; export it again")
            content = _read_member(archive, paths[0], where)
    # An encrypted member is a RuntimeError, an unknown compression a NotImplementedError; zlib has an error of its own.
    except Exception as error:
        if isinstance(error, ScoreError):
            raise
        raise ScoreError(f"{where}: damaged compressed MusicXML ({error}); export it again") from error
    return score_from_xml(content, name=name, where=where, part=part)


def _read_member(archive: zipfile.ZipFile, path: str, where: str) -> bytes:
    """One file of the archive, never more of it than it declares."""
    try:
        member = archive.getinfo(path)
    except KeyError as error:
        raise ScoreError(f"{where}: a zip file without {path}, expected compressed MusicXML") from error
    if member.file_size > (most := limits.current().file_bytes):
        raise ScoreError(
            f"{where}: {path} unpacks to more than {most >> 20} MiB, the limit for one score (--max_notes raises it)"
        )
    with archive.open(member) as file:
        # Without a number all that is packed would be unpacked before its size is looked at.
        return file.read(member.file_size + 1)


def score_from_xml(data: bytes, *, name: str, where: str, part: str | None = None) -> Score:
    """The notes of one part of MusicXML (score-partwise) or MEI.

    Args:
      data: the file's bytes, in any encoding that XML allows.
      name: of the score.
      where: the file it came from, for messages.
      part: name or number from 1; None takes the only part that holds pitched notes.

    Raises:
      ScoreError: the XML is damaged, declares entities, is no score, or the choice of part is not clear.
    """
    root_tag = check_xml(data, where)
    root = ElementTree.fromstring(data)
    if root_tag == "mei":
        return score_from_text(ElementTree.tostring(root, encoding="utf-8"), "mei", name=name, where=where, part=part)
    if root_tag != "score-partwise":
        raise ScoreError(
            f"{where}: XML of kind <{root_tag}>, expected MusicXML <score-partwise> (or MEI); export it as MusicXML"
        )
    ignored: collections.Counter[str] = collections.Counter()

    def _parse() -> Any:
        from music21.musicxml import xmlToM21

        _tidy(root, ignored)
        importer = xmlToM21.MusicXMLImporter()
        importer.xmlRootToScore(root, importer.stream)
        return importer.stream

    with _guarded(len(data), where):
        return _score_from_stream(_parsed(_parse, ignored), ignored, name=name, where=where, part=part)


def score_from_text(data: bytes, text_format: str, *, name: str, where: str, part: str | None = None) -> Score:
    """The notes of one part of a score in one of `TEXT_FORMATS`; arguments and errors as `score_from_xml`."""
    ignored: collections.Counter[str] = collections.Counter()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text:
        raise ScoreError(f"{where}: holds binary data, expected {text_format} as text; export it again")

    def _parse() -> Any:
        from music21 import converter

        return converter.parseData(text, format=text_format, forceSource=True)

    with _guarded(len(data), where):
        return _score_from_stream(_parsed(_parse, ignored), ignored, name=name, where=where, part=part)


def _tidy(root: ElementTree.Element, ignored: collections.Counter[str]) -> None:
    """Mends what music21 reads otherwise: cue notes sound there, and a printed tempo hides the one to be played."""
    for parent in list(root.iter("measure")):
        for note in parent.findall("note"):
            if note.find("cue") is None:
                continue
            ignored["cue notes"] += note.find("rest") is None
            if note.find("grace") is not None or note.find("chord") is not None:
                parent.remove(note)
                continue
            for child in [child for child in note if child.tag in ("pitch", "unpitched", "tie", "notations", "cue")]:
                note.remove(child)
            if note.find("rest") is None:
                note.insert(0, ElementTree.Element("rest"))
    for transpose in root.iter("transpose"):
        # music21 fails on an octave change without the diatonic steps, which MusicXML lets a program leave out.
        if transpose.find("diatonic") is None and (chromatic := transpose.findtext("chromatic")):
            diatonic = ElementTree.Element("diatonic")
            diatonic.text = str(round(float(chromatic) * 7 / 12))
            transpose.insert(0, diatonic)
    for direction in root.iter("direction"):
        if direction.find("sound[@tempo]") is not None:
            for kind in direction.findall("direction-type"):
                if kind.find("metronome") is not None:
                    direction.remove(kind)


@contextlib.contextmanager
def _guarded(n_bytes: int, where: str) -> Iterator[None]:
    """Makes whatever music21 raises inside a `ScoreError`, and ends what takes too much time or memory."""
    from music21 import converter  # noqa: F401  (takes seconds, which are not the score's)

    if n_bytes > _LARGE_BYTES:
        logging.info("%s: %.1f MB, which take some seconds a megabyte to read", where, n_bytes / 1e6)
    try:
        with bounded(n_bytes, where):
            yield
    except ScoreError:
        raise
    except Exception as error:  # music21 lets any kind of error out on a damaged file, also when it is asked for notes
        reason = " ".join(str(error).split())[:200]
        raise ScoreError(
            f"{where}: music21 cannot read this score ({type(error).__name__}: {reason}); export it again"
        ) from error


def _parsed(parse: Callable[[], Any], ignored: collections.Counter[str]) -> Any:
    """What `parse` gives; its warnings are counted."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = parse()
    from music21 import exceptions21

    kinds = (exceptions21.Music21Exception, UserWarning)
    ignored["passages that music21 warned of"] += sum(issubclass(warning.category, kinds) for warning in caught)
    return stream


def _score_from_stream(
    stream: Any, ignored: collections.Counter[str], *, name: str, where: str, part: str | None
) -> Score:
    from music21 import stream as m21stream

    if isinstance(stream, m21stream.Opus):
        if len(stream.scores) != 1:
            raise ScoreError(f"{where}: holds {len(stream.scores)} pieces, expected one; save it as a file of its own")
        stream = stream.scores[0]
    # The tempo usually stands in the first part alone, so the map is that of the whole score.
    tempos = _tempos(stream, ignored)
    streams = list(stream.parts) if isinstance(stream, m21stream.Score) else [stream]
    parts = []
    for index, part_stream in enumerate(streams, 1):
        n_unpitched = _n_unpitched(part_stream)
        ignored["percussion notes"] += n_unpitched
        if _has_pitched_notes(part_stream):
            parts.append((_part_name(part_stream, index), part_stream))
    index = choose_part([part_name for part_name, _ in parts], part, where)
    part_name, chosen = parts[index]
    ignored["other parts"] += len(parts) - 1
    chosen.toSoundingPitch(inPlace=True)
    bars = _written_bars(chosen, ignored)
    _count_unused(chosen, ignored)
    order = _played_order(streams, len(bars), ignored, where)
    bars_sec, notes = bars_and_notes(bars, order, times_from_tempos(tempos), ignored)
    return score_from_notes(name, notes, where=where, part=part_name.name, bars_sec=bars_sec, ignored=ignored)


def _tempos(stream: Any, ignored: collections.Counter[str]) -> dict[Fraction, Fraction]:
    """Quarters a minute from each written offset in quarters; where parts differ the first one holds."""
    from music21 import tempo

    tempos: dict[Fraction, Fraction] = {}
    for mark in stream.recurse().getElementsByClass(tempo.TempoIndication):
        per_minute = mark.getQuarterBPM() if isinstance(mark, tempo.MetronomeMark) else None
        if per_minute is None or not 0 < per_minute < float("inf"):
            ignored["tempo marks without a number"] += 1
            continue
        tempos.setdefault(_offset(mark, stream), Fraction(str(per_minute)).limit_denominator(10**6))
    tempos.setdefault(Fraction(0), _DEFAULT_QUARTERS_PER_MINUTE)
    return tempos


def _offset(element: Any, stream: Any) -> Fraction:
    return Fraction(element.getOffsetInHierarchy(stream))


def _part_name(stream: Any, index: int) -> PartName:
    instrument = stream.getInstrument(returnDefault=False)
    texts = [stream.partName, instrument and instrument.partName, instrument and instrument.instrumentName, stream.id]
    names = [" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()]
    return PartName(names[0] if names else f"part {index}", tuple(names))


def _sounding(stream: Any) -> Iterator[Any]:
    """Notes and chords of a stream, without the chord symbols that music21 counts among them."""
    from music21 import harmony

    return (element for element in stream.recurse().notes if not isinstance(element, harmony.Harmony))


def _is_percussion(stream: Any) -> bool:
    from music21 import clef

    clefs = list(stream.recurse().getElementsByClass(clef.Clef))
    return bool(clefs) and all(isinstance(element, clef.PercussionClef) for element in clefs)


def _has_pitched_notes(stream: Any) -> bool:
    return not _is_percussion(stream) and any(element.pitches for element in _sounding(stream))


def _n_unpitched(stream: Any) -> int:
    percussion = _is_percussion(stream)
    return sum(percussion or not element.pitches for element in _sounding(stream))


def _written_bars(stream: Any, ignored: collections.Counter[str]) -> list[WrittenBar]:
    """The bars of a part; a part without bars is one bar."""
    from music21 import stream as m21stream

    bars = []
    for measure in list(stream.getElementsByClass(m21stream.Measure)) or [stream]:
        begin = Fraction(measure.offset) if measure is not stream else Fraction(0)
        notes = []
        for element in _sounding(measure):
            offset = begin + _offset(element, measure)
            members = element.notes if element.isChord and hasattr(element, "notes") else (element,)
            # Grace notes of one chord sound together, so they share a number.
            grace = id(element) if element.duration.isGrace else None
            length = Fraction(element.duration.quarterLength)
            for member in members:
                if not getattr(member, "pitches", ()):
                    continue
                pitch = round(member.pitch.ps)
                ignored["microtones (played as the nearest semitone)"] += pitch != member.pitch.ps
                tie = member.tie.type if member.tie is not None else None
                notes.append(WrittenNote(offset, length, pitch, tie, grace))
        bars.append(WrittenBar(begin, Fraction(measure.duration.quarterLength), notes))
    # A bar ends where music21 puts the next one; only the last has nothing but its content to tell.
    ends = [bar.begin for bar in bars[1:]] + [max(bars[-1].begin + bars[-1].length, Fraction(0))]
    return [WrittenBar(bar.begin, end - bar.begin, bar.notes) for bar, end in zip(bars, ends, strict=True)]


def _count_unused(stream: Any, ignored: collections.Counter[str]) -> None:
    """Counts the marks of a part that the notes do not show."""
    from music21 import dynamics, expressions, spanner

    kinds = {
        "dynamics": dynamics.Dynamic,
        "hairpins": dynamics.DynamicWedge,
        "slurs": spanner.Slur,
        "glissandi": spanner.Glissando,
        "pedal marks": expressions.PedalMark,
    }
    for reason, kind in kinds.items():
        ignored[reason] += len(list(stream.recurse().getElementsByClass(kind)))
    for element in _sounding(stream):
        ignored["articulations"] += len(element.articulations)
        for expression in element.expressions:
            if isinstance(expression, expressions.Fermata):
                ignored["fermatas"] += 1
            elif isinstance(expression, expressions.Trill):
                ignored["trills"] += 1
            elif isinstance(expression, expressions.Tremolo):
                ignored["tremolos"] += 1
            elif isinstance(expression, expressions.Ornament):
                ignored["ornaments"] += 1


def _played_order(streams: Sequence[Any], n_bars: int, ignored: collections.Counter[str], where: str) -> list[int]:
    """Indices of bars as played. Only the first part may say "da capo", so the part with the longest order decides.

    This takes the streams apart: their notes must have been read.
    """
    from music21 import repeat

    orders = [list(range(n_bars))]
    for stream in streams:
        try:
            orders.append(_expanded(stream))
        except repeat.ExpanderException:
            ignored["repeats that do not add up (played once)"] += 1
    return [index for index in max(orders, key=len) if index < n_bars]


def _expanded(stream: Any) -> list[int]:
    """Bars of a part in the order music21's repeats give; empty where there are none."""
    from music21 import bar, note, repeat
    from music21 import stream as m21stream

    measures = list(stream.getElementsByClass(m21stream.Measure))
    marks = list(stream.recurse().getElementsByClass(repeat.RepeatMark))
    barlines = [barline for measure in measures for barline in (measure.leftBarline, measure.rightBarline)]
    if not marks and not any(isinstance(barline, bar.Repeat) for barline in barlines):
        return []
    for index, measure in enumerate(measures):
        length = measure.duration.quarterLength
        # The expander copies all it is given, which takes long with notes, and it numbers some of the copies anew.
        measure.removeByClass((note.GeneralNote, m21stream.Voice))
        measure.insert(0, note.Rest(quarterLength=length))
        measure.groups = [str(index)]
    played = repeat.Expander(stream).process()
    return [int(measure.groups[0]) for measure in played.getElementsByClass(m21stream.Measure)]
