"""What a tokenizer.json's post-processor puts before and after the ids of one text: `<s>` … `</s>` and the like."""

from __future__ import annotations

from typing import Any, NamedTuple


class Template(NamedTuple):
    """The ids that stand before and after a text's own."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


class TemplateError(ValueError):
    """The post-processor is damaged, or of a kind that does not put ids before and after one text."""


def template_of(post_processor: dict[str, Any] | None) -> Template:
    """The template of a tokenizer.json's "post_processor" section, for one text. TemplateError where it has none.

    ByteLevel adds nothing; Bert and Roberta a token on either side; in a Sequence each step goes around the one
    before it.
    """
    kind = post_processor.get("type") if isinstance(post_processor, dict) else None
    try:
        if post_processor is None or kind == "ByteLevel":
            return Template()
        if kind in ("BertProcessing", "RobertaProcessing"):
            return Template((int(post_processor["cls"][1]),), (int(post_processor["sep"][1]),))
        if kind == "TemplateProcessing":
            return _single(post_processor["single"], post_processor.get("special_tokens") or {})
        if kind == "Sequence":
            whole = Template()
            for step in post_processor["processors"]:
                inner = template_of(step)
                whole = Template(inner.before + whole.before, whole.after + inner.after)
            return whole
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise TemplateError(f"post_processor {kind} is damaged ({error!r})") from error
    raise TemplateError(f"post_processor {kind} is unknown; expected TemplateProcessing, Bert, Roberta or ByteLevel")


def _single(pieces: list[dict[str, Any]], tokens: dict[str, Any]) -> Template:
    sides: tuple[list[int], list[int]] = ([], [])
    n_texts = 0
    for piece in pieces:
        if "Sequence" in piece:
            n_texts += 1
        else:
            sides[min(n_texts, 1)].extend(map(int, tokens[piece["SpecialToken"]["id"]]["ids"]))
    if n_texts != 1:
        raise TemplateError(f"post_processor TemplateProcessing has the text {n_texts} times in it; expected once")
    return Template(tuple(sides[0]), tuple(sides[1]))
