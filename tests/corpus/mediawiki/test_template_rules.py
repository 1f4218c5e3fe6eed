"""The user's own rules: a line a template, every fault named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from jarvis_nano.corpus.sources.mediawiki.french.table import rules
from jarvis_nano.corpus.sources.mediawiki.parameters import compile_pattern
from jarvis_nano.corpus.sources.mediawiki.site import Site
from jarvis_nano.corpus.sources.mediawiki.wikitext import Wikitext, read_rules
from jarvis_nano.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_rules_are_read_with_their_aliases(tmp_path: Path) -> None:
    path = write(tmp_path / "rules.txt", "\ufeff# mine\n\nblason; écu | {nom/1}[ ({2})]\r\nboîte |\n")
    found = read_rules(path)
    assert found == {"blason": "{nom/1}[ ({2})]", "écu": "{nom/1}[ ({2})]", "boîte": ""}
    reader = Wikitext(Site(), rules=found)
    assert reader.text("Le {{Écu|lion|or}}, le {{blason|nom=cerf}}{{boîte|x}}.") == "Le lion (or), le cerf."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a | b\nc", r"line 2: 'c' has no \|"),
        ("a; | b", "line 1: '' is no template's name"),
        ("a[b | c", "line 1: 'a\\[b' is no template's name"),
        ("a | {1", "line 1: a brace at column 1 has no partner"),
        ("a | 1}", "line 1: a brace at column 2 has no partner"),
        ("a | [{1}", r"line 1: \[ without \]"),
        ("a | {1}]", r"line 1: \] without \["),
        ("a | b\nc; a | d", "'a' has two rules"),
    ],
)
def test_a_fault_is_named_by_its_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read_rules(write(tmp_path / "rules.txt", text))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no rules at"):
        read_rules(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("é | a".encode("latin1"))
    with pytest.raises(UserError, match="is not UTF-8"):
        read_rules(tmp_path / "latin.txt")


@pytest.mark.parametrize(
    ("pattern", "arguments", "text"),
    [
        ("{1} {2|m}", {"1": "3"}, "3 m"),
        ("{a/b/1}", {"1": "x", "b": "y", "a": ""}, "y"),
        ("{1}[, {2}][ ({3})]", {"1": "a", "2": "b"}, "a, b"),
        ("{1}[, {2} ({3})]", {"1": "a", "3": "c"}, "a"),
        ("{{{1}}} [[x]]", {"1": "a"}, "{a} [x]"),
        ("", {"1": "a"}, ""),
    ],
)
def test_patterns(pattern: str, arguments: dict[str, str], text: str) -> None:
    assert compile_pattern(pattern)(arguments) == text


def test_the_table_covers_the_common_templates() -> None:
    table = rules()
    common = (
        "unité date- nobr citation s- nombre lang langue lien incise formatnum japonais s n° heure math refnec nb "
        "racine fchim sfn harvsp p. euro tmp latin en et_al. abréviation_discrète souverain2 -s-"
    )
    assert [name for name in common.split() if name[:1].upper() + name[1:].replace("_", " ") not in table] == []
    assert len(table) > 700
