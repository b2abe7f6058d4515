"""XML that is not trusted: read whole, without document types, so that nothing in it can grow or reach out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder, indent, tostring
from xml.parsers.expat import ExpatError, ParserCreate

from data.errors import FileAccessError, InputError
from data.files import write_bytes

_DEEPEST: Final = 50
_CHUNK: Final = 1 << 16
_UNSAYABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _RefusedError(Exception):
    """A parser's handler found what no sound file has."""


def read_xml(path: Path, root: str) -> Element:
    """The tree of an XML file.

    Args:
        path: The file.
        root: What its outermost element is called.

    Raises:
        InputError: It is no XML, is cut short, has a document type (which may hide entities), is nested too deeply, or
            has another outermost element.
        FileAccessError: It cannot be read.
    """
    expected = f"XML with <{root}> around everything"
    builder = TreeBuilder()
    parser = ParserCreate()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise _RefusedError(f"nests more than {_DEEPEST} elements")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise _RefusedError("has a document type, which is not read because entities can hide in it")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except (ExpatError, ValueError) as error:  # ValueError: an encoding that is not known
        raise InputError(path, f"is no XML, or cut short ({error})", expected=expected) from error
    except _RefusedError as error:
        raise InputError(path, str(error), expected=expected) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error
    tree = builder.close()
    if tree.tag != root:
        raise InputError(path, f"has <{tree.tag}> around everything", expected=expected)
    return tree


def write_xml(path: Path, root: Element, *, declared: bool = True) -> None:
    """Write a tree as UTF-8, whole or not at all.

    Args:
        path: The file.
        root: The tree.
        declared: Whether the first line says that it is XML; text that is pasted into a form does better without.

    Raises:
        InputError: A name or text of it cannot stand in XML.
        FileAccessError: The file cannot be written.
    """
    for element in root.iter():
        for text in (element.text or "", *element.attrib.values()):
            if _UNSAYABLE.search(text):
                raise InputError(path, f"cannot hold {text!r}: XML has no such characters", cure="rename it")
    indent(root)
    write_bytes(path, tostring(root, encoding="utf-8", xml_declaration=declared) + b"\n")
