"""Code keeps a shape that a reader can hold in the head."""

from __future__ import annotations

import ast
import re

from tests.architecture.source import modules, report

FUNCTION_LINES_MAX = 60

# A full stop, question or exclamation mark followed by a new sentence; "i.e. x" and "e.g. x" go on in lower case.
NEXT_SENTENCE = re.compile(r"[.!?]\s+[A-Z]")


def test_functions_fit_on_a_screen() -> None:
    offences = [
        f"{module.path}:{function.lineno} {function.name}: {lines} lines"
        for module in modules()
        if not module.is_in("migrations/versions")
        for function in module.functions()
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]
    reason = f"What does not fit on a screen cannot be seen whole; at most {FUNCTION_LINES_MAX} lines, split by what each part is for:"
    assert not offences, report(reason, offences)


def test_every_module_says_in_one_sentence_what_it_is() -> None:
    offences = [
        f"{module.path}: {caption!r}"
        for module in modules()
        if not is_one_sentence(caption := (ast.get_docstring(module.tree) or "").partition("\n\n")[0])
    ]
    reason = "A module's docstring is the caption on the door of its room: one sentence, ended by a full stop; details may follow:"
    assert not offences, report(reason, offences)


def is_one_sentence(caption: str) -> bool:
    """Whether `caption` is there, ends as a sentence does, and holds no second one."""
    return caption.rstrip(":")[-1:] in {".", "?", "!", ")"} and not NEXT_SENTENCE.search(caption)


def test_a_caption_of_two_sentences_is_noticed() -> None:
    captions = ["One sentence.", "", "no end", "One. Two.", "Points, i.e. places, are named."]
    assert [is_one_sentence(caption) for caption in captions] == [True, False, False, False, True]


def test_no_limit_hangs_on_an_assert() -> None:
    offences = [
        f"{module.path}:{node.lineno}"
        for module in modules("common")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]
    reason = "`python -O` removes assert, and with it the limit it held; raise a typed error or return a Veto:"
    assert not offences, report(reason, offences)


def test_no_error_is_swallowed_without_a_reason() -> None:
    offences = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        if not module.is_in("tests")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and is_silent(node)
    ]
    reason = "An error that nobody records did not happen, until it matters; handle it, or say why not with contextlib.suppress:"
    assert not offences, report(reason, offences)


def is_silent(handler: ast.ExceptHandler) -> bool:
    """Whether the handler catches everything and does nothing."""
    catches_all = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )
    return catches_all and all(isinstance(node, ast.Pass) for node in handler.body)
