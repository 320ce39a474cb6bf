"""What XML may hold before any library builds a tree of it."""

from xml.parsers import expat

from pnet_tf.score_notes import ScoreError, require_few_notes

MAX_DEPTH = 100
MAX_REPEATS = 32


class _Guard:
    """Handlers of one pass over the text: root, depth, counts, and nothing that could grow on reading."""

    def __init__(self, where: str) -> None:
        self.root = ""
        self._where = where
        self._depth = 0
        self._n_notes = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self.root = self.root or tag
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ScoreError(f"{self._where}: XML nested more than {MAX_DEPTH} deep, no score is")
        if tag == "note":
            self._n_notes += 1
            require_few_notes(self._n_notes, self._where)
        times = attributes.get("times", "") if tag == "repeat" else ""
        if times.strip().isdecimal() and (len(times) > 9 or int(times) > MAX_REPEATS):
            raise ScoreError(f"{self._where}: a repeat of {times[:20]} times, the limit is {MAX_REPEATS}")

    def end(self, tag: str) -> None:
        """An element ends."""
        self._depth -= 1

    def entity(self, name: str, *_: object) -> None:
        """An entity is declared, of whatever kind."""
        raise ScoreError(
            f"{self._where}: the XML declares an entity ({name!r}), which no score needs; export it again without"
        )


def check_xml(data: bytes, where: str) -> str:
    """Refuses XML that is not well formed, or that could grow far beyond its size when it is read.

    The usual `<!DOCTYPE score-partwise PUBLIC ...>` is let through and its address never asked for.

    Args:
      data: the file's bytes.
      where: for messages.

    Returns:
      The tag of the root element, without its namespace.

    Raises:
      ScoreError: damaged or truncated XML, an entity declaration, or a depth, a count of notes or of repeats above the
        limits.
    """
    guard = _Guard(where)
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = guard.start
    parser.EndElementHandler = guard.end
    parser.EntityDeclHandler = guard.entity
    try:
        parser.Parse(data, True)
    # LookupError and ValueError: an encoding that Python does not know or that XML may not have.
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise ScoreError(f"{where}: damaged or truncated XML ({error}); export the score again") from error
    return guard.root.rpartition("}")[2]
