"""Real text as tokens, in llm.c's format, without a tokeniser from anywhere.

Words with the blank before them, numbers and runs of other characters are counted; the most frequent ones are a token
each, and what is left is spelled in bytes (tokens 0 to 255). Two texts give two vocabularies: this is for measuring,
where what matters is that tokens are real, many, and as uneven as a language's. Python 3.9, standard library only.
"""

import array
import collections
import pathlib
import re
import struct
import sys
import sysconfig

PIECE = re.compile(r" ?[A-Za-z]+| ?[0-9]+|\s+| ?[^\sA-Za-z0-9]+")
MAGIC, VERSION, HEADER = 20240520, 1, 256


def encode(text, vocabulary):
    """Tokens below `vocabulary`, which is at least 256."""
    pieces = PIECE.findall(text)
    # Ties in byte order, so that one text has one encoding.
    ranked = sorted(collections.Counter(pieces).items(), key=lambda item: (-item[1], item[0]))
    ids = {piece: 256 + i for i, (piece, _) in enumerate(ranked[:vocabulary - 256])}
    out = array.array("H")
    for piece in pieces:
        known = ids.get(piece)
        if known is None:
            out.extend(piece.encode("utf-8", "surrogatepass"))
        else:
            out.append(known)
    return out


def write_llmc(path, tokens):
    little = array.array("H", tokens)
    if sys.byteorder == "big":
        little.byteswap()
    header = [MAGIC, VERSION, len(tokens)] + [0] * (HEADER - 3)
    pathlib.Path(path).write_bytes(struct.pack(f"<{HEADER}i", *header) + little.tobytes())


def read_llmc(path):
    content = pathlib.Path(path).read_bytes()
    magic, version, count = struct.unpack_from("<3i", content)
    if (magic, version) != (MAGIC, VERSION) or len(content) != 4 * HEADER + 2 * count:
        raise ValueError(f"{path} is no llmc file of version {VERSION}")
    tokens = array.array("H")
    tokens.frombytes(content[4 * HEADER:])
    if sys.byteorder == "big":
        tokens.byteswap()
    return tokens


def real_text(root, most=6 << 20):
    """At most so many characters: this project's documents, and Python's own library as every machine has it. Files go in
    an order that mixes them, so that the last tenth, which is held out, is like the rest."""
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    files = [*pathlib.Path(root, "docs").rglob("*.md"), *library.glob("*.py"), *library.glob("*/*.py")]
    files = [path for path in files if "site-packages" not in path.parts and "dist-packages" not in path.parts]
    texts, size = [], 0
    for path in sorted(files, key=lambda path: (path.name[::-1], str(path))):
        text = path.read_text(encoding="utf-8", errors="replace")
        texts.append(text)
        size += len(text)
        if size >= most:
            break
    return "\n".join(texts)[:most]
