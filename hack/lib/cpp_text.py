"""What hack/tidy.py needs to know of C++: its comments and strings, includes, and where functions end.

It reads text, not the language: clang would need every dependency installed, and the tree is formatted
by machine. Line numbers survive every step, since removed text is replaced by blanks.
"""

import re

_RAW_STRING = re.compile(r'(?:u8|[uUL])?R"([^()\\\s]{0,16})\(')
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def _end_of_quoted(text, start):
    """The position after the literal whose quote is at `start`; a literal ends with its line at worst."""
    quote, at = text[start], start + 1
    while at < len(text) and text[at] not in (quote, "\n"):
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


def _pieces(text):
    """(kind, text) in order; kind is code, comment or string."""
    at = begin = 0
    while at < len(text):
        kind, end = None, at
        if text.startswith("//", at):
            kind, end = "comment", text.find("\n", at)
        elif text.startswith("/*", at):
            kind, end = "comment", text.find("*/", at + 2) + 2
            end = -1 if end == 1 else end
        elif (raw := _RAW_STRING.match(text, at)) and not (at and (text[at - 1].isalnum())):
            closing = ")" + raw.group(1) + '"'
            end = text.find(closing, raw.end())
            kind, end = "string", -1 if end < 0 else end + len(closing)
        elif text[at] == '"':
            kind, end = "string", _end_of_quoted(text, at)
        elif text[at] == "'" and not (at and (text[at - 1].isalnum() or text[at - 1] == "_")):
            kind, end = "string", _end_of_quoted(text, at)  # else a digit separator: 100'000
        if kind is None:
            at += 1
            continue
        end = len(text) if end < 0 else end
        yield "code", text[begin:at]
        yield kind, text[at:end]
        at = begin = end
    yield "code", text[begin:]


def without_comments(text):
    return "".join(_blank(piece) if kind == "comment" else piece for kind, piece in _pieces(text))


def without_comments_and_strings(text):
    return "".join(piece if kind == "code" else _blank(piece) for kind, piece in _pieces(text))


def _all_includes(text):
    stripped = without_comments(text)
    for match in _INCLUDE.finditer(stripped):
        yield stripped.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2)


def includes(text):
    """(line, name) of every include."""
    return [(line, name) for line, _, name in _all_includes(text)]


def project_includes(text):
    """Those of this repository: in quotes, or by their path from the root, whatever the marks."""
    return [(line, name) for line, mark, name in _all_includes(text)
            if mark == '"' or name.startswith(("operator/", "worker/", "tests/"))]


def _without_directives(text):
    """Macro bodies hold unbalanced braces now and then; continued lines belong to their directive."""
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda match: _blank(match.group()), text,
                  flags=re.MULTILINE)


_LABEL = re.compile(r"^\s*(?:public|private|protected)\s*:(?!:)")
_SCOPE = re.compile(r"^\s*(?:template\b.*?>\s*)?(?:\[\[.*?\]\]\s*)?"
                    r"(?:inline\s+namespace|namespace|class|struct|union|enum|extern)\b", re.DOTALL)
_SIGNATURE_END = re.compile(r"(?:\)|\bconst|\bnoexcept|\boverride|\bfinal|\}|&)\s*$|->[^()]*$")
# A colon after the parameters begins a constructor's initialisers.
_INITIALISERS = re.compile(r"\)\s*(?:noexcept\s*(?:\([^)]*\))?\s*)?:(?!:)")


def _kind_of_brace(head):
    """What a brace after `head` opens at namespace or class scope: function, scope, or value."""
    stripped = head.rstrip()
    if head.count("(") > head.count(")"):
        return "value"  # a lambda or braces among arguments
    if _INITIALISERS.search(head) and re.search(r"[\w>]$", stripped):
        return "value"  # a member's brace initialiser: the body is still to come
    if stripped.endswith(("=", ",", "(", "return")):
        return "value"
    if _SCOPE.match(head) and not ("(" in head and _SIGNATURE_END.search(stripped)):
        return "scope"
    return "function" if "(" in head else "scope"


def _closing_brace(code, opening):
    depth = 0
    for match in re.compile(r"[{}]").finditer(code, opening):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.start()
    return len(code) - 1


def _name(head):
    before = head.split("(")[0].split()
    name = before[-1].lstrip("*&") if before else "a function"
    if name.startswith("TEST"):
        return " ".join((name + "(" + head.split("(", 1)[1]).split())
    return name or "a function"


def functions(text):
    """(name, first line, last line) of every function at namespace or class scope, its head included."""
    code = _without_directives(without_comments_and_strings(text))
    found, at, begin = [], 0, 0
    for_punctuation = re.compile(r"[;{}]")
    while match := for_punctuation.search(code, at):
        at = match.end()
        if match.group() != "{":
            begin = at
            continue
        while label := _LABEL.match(code[begin:match.start()]):
            begin += label.end()
        head = code[begin:match.start()]
        kind = _kind_of_brace(head)
        if kind == "scope":
            begin = at
            continue
        closing = _closing_brace(code, match.start())
        at = closing + 1
        if kind == "function":
            start = begin + len(head) - len(head.lstrip())
            found.append((_name(head), code.count("\n", 0, start) + 1,
                          code.count("\n", 0, closing) + 1))
            begin = at
    return found
