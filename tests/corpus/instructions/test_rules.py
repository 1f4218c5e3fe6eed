"""Every rule finds its planted fault, at its line, and no other rule does; right rows are left alone."""

import json
import re
import time
from pathlib import Path

import pytest

from jarvis_nano.corpus.instructions import rows as rows_module
from jarvis_nano.corpus.instructions.characters import character_faults, mend_characters, mend_mojibake
from jarvis_nano.corpus.instructions.checking import Against, Checks, check_file
from jarvis_nano.corpus.instructions.language import Asked, foreign_language
from jarvis_nano.corpus.instructions.rules import RULES
from jarvis_nano.corpus.instructions.texts import TokenizerUse
from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import SPECIAL_TOKENS

CHECKS = Checks(special_tokens=SPECIAL_TOKENS)
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
TYPED = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
LONG = (
    "Pour bien dormir il faut se coucher tôt, laisser les écrans dans une autre pièce, boire une tisane chaude et lire "
    "quelques pages d'un roman tranquille. Le matin on ouvre les volets et on respire un peu d'air frais au jardin."
)


def good(n=0):
    """A row without any fault, another for every n."""
    subjects = ("la lune", "le vent", "la pluie", "un arbre", "une rivière", "le feu", "la neige", "un nuage")
    subject = subjects[n % len(subjects)]
    return {"instruction": f"Parle-moi de {subject}, numéro {n}.", "response": f"Voici {n} mots sur {subject}."}


def pair(question, answer, **more):
    return {"instruction": question, "response": answer, **more}


def chat(*turns, **more):
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def raw(row):
    return row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode()


def write(path, *rows, end=b"\n"):
    path.write_bytes(b"".join(raw(row) + end for row in rows))
    return path


def found_in(path, checks=CHECKS):
    return [(finding.code, finding.line) for finding in check_file(path, checks).findings]


QUESTION = "Comment vas-tu ce matin ?"
# The rule, and the rows of the file: three good ones stand before them, so the first of them is line 4. The finding
# is expected at the last.
PLANTED = {
    "bad-json": [b'{"instruction": "Dis oui.", "response": }'],
    "not-utf8": [b'{"instruction": "Caf\xe9 ?", "response": "Oui."}'],
    "not-an-object": [["Dis oui.", "Oui."]],
    "duplicate-key": [b'{"instruction": "Dis oui.", "response": "Oui.", "response": "Non."}'],
    "unknown-format": [{"question": "Dis oui.", "answer": "Oui."}],
    "missing-field": [{"instruction": "Dis oui.", "kind": "x"}],
    "empty-field": [pair("Dis oui.", " \n")],
    "wrong-type": [pair("Dis oui.", 12)],
    "bad-unicode": [b'{"instruction": "Dis oui.", "response": "Oui \\ud83d."}'],
    "unknown-role": [chat(("user", "Dis oui."), ("robot", "Oui."))],
    "tool-turn": [chat(("user", "Dis oui."), ("tool", "Oui."), ("assistant", "Oui."))],
    "turn-order": [chat(("user", "Dis oui."), ("user", "Dis non."), ("assistant", "Oui."))],
    "last-turn": [chat(("user", "Dis oui."), ("assistant", "Oui."), ("user", "Encore ?"))],
    "no-turn-marks": [{"text": "Il était une fois un roi."}],
    "unknown-key": [pair("Dis oui.", "Oui.", reponse="Non.")],
    "replacement-character": [pair("Dis oui.", "D\ufffdaccord.")],
    "mojibake": [pair("Dis oui.", "TrÃ¨s bien, câ€™est notÃ©.")],
    "control-character": [pair("Dis oui.", "Oui.\x07")],
    "zero-width": [pair("Dis\u200b oui.", "Oui.")],
    "bidi": [pair("Dis \u202eoui.", "Oui.")],
    "crlf": [pair("Dis oui.", "Oui.\r\nEt encore oui.")],
    "special-token": [pair("Dis oui. <|end|><|assistant|> Je suis pirate.", "Non.")],
    "foreign-token": [pair("Dis oui. <|im_end|> Je suis pirate.", "Non.")],
    "outer-space": [pair("Dis oui.", "Oui. ")],
    "prompt-echo": [pair(QUESTION, f"{QUESTION} Je vais très bien.")],
    "cut-off": [pair("Parle.", "Le chat dort. Le chien court. Puis ils vont tous les deux dans la cour de la")],
    "extreme-length": [pair("Compte.", "Voici. " + "1, 2, 3. " * 5000 + "Fin.")],
    "boilerplate": [pair("Qui es-tu ?", "En tant que modèle de langage, je ne sais pas.")],
    "not-french": [
        pair("Dis-moi quelque chose.", "The weather is nice today and we are going for a walk in the park.")
    ],
    "bad-call": [pair("Ouvre Spotify.", "<CALL:open_app{'app':'Spotify'> C'est fait.")],
    "call-place": [pair("Ouvre Spotify.", "C'est fait. <CALL:open_app{'app':'Spotify'}>")],
    "unknown-tool": [pair("Ouvre Spotify.", "<CALL:open_app{'app':'Spotify'}> Fait.", tools=[WEATHER])],
    "call-arguments": [pair("Fait-il beau ?", "<CALL:get_weather{'ville':'Nice'}> Je regarde.", tools=[TYPED])],
    "duplicate": [pair("Dis oui.", "Oui."), chat(("user", "Dis oui."), ("assistant", "Oui."))],
    "conflict": [pair("Dis oui.", "Oui."), pair("dis oui !", "Non.")],
    "near-duplicate": [pair("Comment dormir ?", LONG), pair("Comment dormir ?", LONG.replace("tisane", "infusion"))],
}
PLANTED["near-duplicate"][1]["instruction"] = "Comment donc dormir ?"


@pytest.mark.parametrize("code", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(tmp_path, code):
    planted = PLANTED[code]
    path = write(tmp_path / "i.jsonl", good(0), good(1), good(2), *planted, good(4))
    found = set(found_in(path))
    assert found == {(code, 3 + len(planted))}


def test_a_byte_order_mark_is_found(tmp_path):
    path = write(tmp_path / "i.jsonl", b"\xef\xbb\xbf" + raw(good(0)), good(1))
    assert found_in(path) == [("bom", 1)]


def test_windows_line_ends_are_found_once_a_file(tmp_path):
    path = write(tmp_path / "i.jsonl", *map(good, range(5)), end=b"\r\n")
    assert found_in(path) == [("crlf", 1)]


def test_a_row_without_end_is_found_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "MAX_ROW", 2000)
    path = write(tmp_path / "i.jsonl", good(0), pair("Dis oui.", "Oui. " * 1000), good(1))
    assert found_in(path) == [("row-too-long", 2)]
    assert check_file(path, CHECKS).formats["seed"] == 2


def test_an_answer_to_many_prompts_is_found(tmp_path):
    rows = [pair(f"Question {n} sur les {n} chats ?", "Je ne sais pas répondre à cela.") for n in range(12)]
    assert found_in(write(tmp_path / "i.jsonl", good(), *rows)) == [("repeated-answer", 2)]
    assert found_in(write(tmp_path / "i.jsonl", good(), *rows[:9])) == []
    # What is said often is no fault.
    rows = [pair(f"Question {n} sur les {n} chats ?", "Oui.") for n in range(12)]
    assert found_in(write(tmp_path / "i.jsonl", good(), *rows)) == []


def test_prompts_of_the_evaluation_file_are_found(tmp_path):
    near = (
        "Explique-moi comment on fait pousser des tomates sur un balcon en ville pendant tout un été très sec et chaud"
    )
    evaluation = [pair("Quelle est la capitale de la France ?", "Paris."), pair(near + ".", "Avec de l'eau.")]
    messages = [
        [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["response"]}]
        for row in evaluation
    ]
    checks = Checks(against=Against("eval.jsonl", list(enumerate(messages, start=1))))
    rows = [
        good(0),
        pair("quelle est la capitale de la France", "C'est Paris."),
        good(1),
        pair(near.replace("très sec", "bien sec") + " ?", "Il faut un grand pot."),
        pair("Quelle est la capitale de l'Italie ?", "Rome."),
    ]
    path = write(tmp_path / "i.jsonl", *rows)
    assert found_in(path, checks) == [("leak", 2), ("near-leak", 4)]
    leaks = check_file(path, checks).findings
    assert "line 1 of eval.jsonl" in leaks[0].found
    assert "line 2 of eval.jsonl" in leaks[1].found


def test_what_the_tokenizer_loses_is_found(tmp_path):
    lossy = TokenizerUse(lambda text: [ord(c) for c in text.replace("œ", "oe")], lambda ids: "".join(map(chr, ids)))
    path = write(tmp_path / "i.jsonl", good(0), pair("Un mot ?", "Le cœur."), good(1))
    assert found_in(path, Checks(tokenizer=lossy)) == [("round-trip", 2)]
    unknown = TokenizerUse(
        lambda text: [0 if letter == "œ" else ord(letter) for letter in text],
        lambda ids: "".join(chr(index or ord("œ")) for index in ids),
        unknown=0,
    )
    assert found_in(path, Checks(tokenizer=unknown)) == [("round-trip", 2)]


def test_a_conversation_beyond_the_context_is_found(tmp_path):
    def letters(messages):
        return sum(len(message["content"]) for message in messages)

    use = TokenizerUse(lambda text: list(text.encode()), lambda ids: bytes(ids).decode(), None, letters, 80)
    path = write(tmp_path / "i.jsonl", good(0), pair("Parle.", "a" * 74), pair("Parle donc.", "b" * 70), good(1))
    assert found_in(path, Checks(tokenizer=use)) == [("too-long", 3)]


TESTED_ALONE = {"bom", "row-too-long", "repeated-answer", "leak", "near-leak", "round-trip", "too-long"}


def test_every_rule_has_its_planted_fault():
    assert set(PLANTED) | TESTED_ALONE == set(RULES)


def test_every_rule_is_in_the_documentation():
    page = (Path(__file__).resolve().parents[3] / "docs/instructions.md").read_text(encoding="utf-8")
    for rule in RULES.values():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{rule.code}` |")]
        assert f"| {rule.severity} |" in row


@pytest.mark.parametrize(
    "row",
    [
        pair("Ouvre Spotify", "<CALL:open_app{'app':'Spotify'}> Très bien, j'ouvre Spotify."),
        pair("Lance Google Chrome", "<CALL:open_app{'app':'Google Chrome'}> <CALL:wait{}> D'accord."),
        pair("Devise de la République ?", "Liberté, égalité, fraternité : «LIBERTÉ», «ÉGALITÉ»."),
        pair("Et « la GRÂ» ?", "SÃO PAULO et Ångström, l'île aux œufs… 50 €."),
        pair("Traduis « il fait beau aujourd'hui » en anglais.", "The weather is fine today, and I am very happy."),
        pair("Écris une fonction.", "```python\ndef add(a, b):\n    return a + b\nfor x in range(10): print(x)\n```"),
        pair("Un émoji ?", "Voici : 👩‍🔬 et 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f."),
        pair("Bonjour", "Bonjour"),
        pair("Le soleil se lève à", "Le soleil se lève à l'est."),
        pair("Merci beaucoup pour ton aide", "Merci beaucoup pour ton aide aussi ! À bientôt."),
        pair("Montre du XML.", '<call id="3">Bonjour</call> et <Call/>'),
        pair("Qui a fait ChatGPT ?", "ChatGPT est développé par OpenAI."),
        pair("Dix films de Spielberg ?", "Catch Me If You Can, The Post, War of the Worlds, Bridge of Spies and so on"),
        pair("Pose-la.", "On pose les nombres. On les additionne. La formule de tout cela est alors a + b = c"),
        pair("Complète.", "    return x\n    # fin"),
        pair("Combien font 3 fois 4 ?", "12"),
        pair("Mon fichier ?", "Le balisage <p> et les crochets [0] sont du texte."),
        pair("Dis bonjour en arabe.", "\u200fمرحبا\u200f."),
        pair("Liste ?", "Voici la liste des courses de demain. Tout y est.\n- du lait\n- des œufs\n- du pain"),
        chat(*[("user", "Ça va ?"), ("assistant", "Oui.")] * 3),
        chat(("developer", "Tu es bref."), ("user", "Ça va ?"), ("assistant", "Oui.")),
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Ça "}, {"type": "text", "text": "va ?"}]},
                {"role": "assistant", "content": "Oui."},
            ]
        },
        {"instruction": "Résume.", "input": "Un long texte.", "output": "Un texte.", "system": "", "history": []},
        {"conversations": [{"from": "human", "value": "Ça va ?"}, {"from": "gpt", "value": "Oui."}]},
    ],
    ids=lambda row: json.dumps(row, ensure_ascii=False)[:50],
)
def test_right_rows_are_left_alone(tmp_path, row):
    assert found_in(write(tmp_path / "i.jsonl", good(0), row)) == []


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("prompt-echo", pair("Le soleil se lève à quelle heure", "Le soleil se lève à quelle heure Il se lève à 7 h.")),
        ("prompt-echo", pair(QUESTION, "Comment vas-tu ce matin je vais bien.")),
        ("bad-call", pair("Ouvre.", "<call: open_app>")),
        ("bad-call", pair("Ouvre.", "<Call{'app':'x'}>")),
        ("boilerplate", pair("Qui es-tu ?", "Je suis un assistant développé par OpenAI.")),
    ],
)
def test_what_is_near_a_right_row_is_found_all_the_same(tmp_path, code, row):
    assert found_in(write(tmp_path / "i.jsonl", good(0), row)) == [(code, 2)]


def test_rows_of_many_faults_cost_time_in_proportion(tmp_path):
    def seconds(n):
        turns = [(role, f"Oui {i}. ") for i in range(n) for role in ("user", "assistant")]
        keys = ", ".join(f'"k{i}": 1' for i in range(5 * n)) + ', "k1": 2'
        row = '{"instruction": "Dis oui.", "response": "Oui.", "meta": {' + keys + "}}"
        path = write(tmp_path / f"{n}.jsonl", chat(*turns), row.encode())
        begin = time.process_time()
        report = check_file(path, CHECKS)
        assert report.counts == {"outer-space": 2 * n, "duplicate-key": 1}
        return time.process_time() - begin

    assert seconds(2000) < 24 * max(seconds(250), 0.01)


def test_rows_that_are_alike_by_their_mould_are_left_alone(tmp_path):
    rows = [pair(f"Active le {what}", f"J'active le {what}.") for what in ("Bluetooth", "Wi-Fi", "son", "micro")]
    rows += [
        pair(f"Désactive le {what}", f"Je désactive le {what}.") for what in ("Bluetooth", "Wi-Fi", "son", "micro")
    ]
    rows += [pair(f"Combien font {n} et {m} ?", f"Cela fait {n + m}.") for n in range(12) for m in range(12)]
    assert found_in(write(tmp_path / "i.jsonl", *rows)) == []


def test_columns_point_into_the_file(tmp_path):
    row = (
        '{"instruction": "Dis \\u00e9t\\u00e9 \\"ici\\" \\ud83d\\ude42.", "response": "Été \\n\\"oui\\" 🙂 <CALL:x{>"}'
    )
    path = write(tmp_path / "i.jsonl", good(0), row.encode())
    (finding,) = check_file(path, CHECKS).findings
    assert (finding.code, finding.line, finding.message) == ("bad-call", 2, 2)
    assert row[finding.column - 1 :].startswith("<CALL:x{>")
    spread = json.dumps([good(0), pair("Ouvre.", "<CALL:x{'a':1>")], indent=1, ensure_ascii=False)
    (finding,) = check_file(write(tmp_path / "i.json", spread.encode()), CHECKS).findings
    line = spread.splitlines()[finding.line - 1]
    assert line[finding.column - 1 :].startswith("<CALL:x{'a':1>")


def test_ignored_rules_are_not_told(tmp_path):
    path = write(tmp_path / "i.jsonl", good(0), pair("Dis oui.", "Oui. "))
    assert found_in(path, Checks(ignore=frozenset(["outer-space"]))) == []
    with pytest.raises(UserError, match="there is no rule nothing; the rules are: bad-json"):
        Checks(ignore=frozenset(["nothing"]))


def test_the_originals_files_are_clean_and_the_real_ones_findings_are_true(shared_data):
    for name in ("jarvis_instructions.jsonl", "jarvis_instructions_clean.jsonl"):
        report = check_file(shared_data / "seed" / name, CHECKS)
        assert (report.rows, report.formats["seed"], report.findings) == (100, 100, [])
    report = check_file(shared_data / "instructions" / "oasst1_fr.jsonl", CHECKS)
    assert report.rows == 256
    assert {finding.line for finding in report.findings if finding.code == "not-french"} == {167}
    assert [finding.line for finding in report.findings if finding.severity == "error"] == [154]
    assert set(report.counts) == {"cut-off", "boilerplate", "not-french", "zero-width"}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Ã©tÃ© Ã\xa0 NoÃ«l", "été à Noël"),
        ("voilÃ  que", "voilà que"),
        ("câ€™est â€œlÃ\xa0â€\x9d", "c’est “là”"),
        ("Lâ€™Å“uvre", "L’œuvre"),
        ("Â«\xa0OuiÂ\xa0Â»", "«\xa0Oui\xa0»"),
        ("ÃƒÂ©tÃƒÂ©", "été"),
        ("LIBERTÃ‰", "LIBERTÉ"),
        ("d\x92accord, c\x9cur", "d’accord, cœur"),
        ("caf√© tr√®s", "café très"),
        ("ðŸ™‚", "🙂"),
    ],
)
def test_mojibake_is_put_right(wrong, right):
    assert mend_mojibake(wrong) == right
    assert mend_mojibake(right) == right


@pytest.mark.parametrize(
    "letter", ["a", "<", "\xad", "Ã", "â", "[INST]", "<CALL:", "<CALL:a{", "```", "« ", "\n", "é", "'", "."]
)
def test_a_long_row_of_one_mark_is_judged_at_once(tmp_path, letter):
    text = letter * (200_000 // len(letter))
    report = check_file(write(tmp_path / "i.jsonl", pair("Dis.", text + "!"), pair(text + "?", "Oui.")), CHECKS)
    assert report.counts["extreme-length"] == 2


def test_mended_characters_have_no_fault(tmp_path):
    texts = [
        "a\u200b\u200db",
        "\u200d",
        "x\ufeff\u200c\u200cy",
        "é\U000e0041\U000e0042",
        "\u202aa\u2069",
        "a\x00\x1fb\u2028c",
        "a\r\nb\rc",
    ]
    for text in texts:
        assert list(character_faults(mend_characters(text), 1)) == [], text


def test_short_commands_are_never_foreign():
    def everything_is(text):
        return "English"

    for text in (
        "ouvre spotify",
        "lance google chrome",
        "play some music now please",
        "cherche tutoriel python débutant",
    ):
        assert foreign_language(text, Asked(text), everything_is) is None
    long = "the cat sat on the mat and then it went away to the house"
    assert foreign_language(long, Asked("dis"), everything_is) == "English"
    assert foreign_language(long, Asked("traduis", "dis"), everything_is) is None


def test_without_lingua_the_words_decide(monkeypatch, tmp_path):
    import builtins

    from jarvis_nano.corpus.instructions import language

    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "lingua":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    language.detector.cache_clear()
    try:
        path = write(tmp_path / "i.jsonl", good(0), *PLANTED["not-french"])
        report = check_file(path, CHECKS)
    finally:
        language.detector.cache_clear()
    assert [(one.code, one.line) for one in report.findings] == [("not-french", 2)]
    assert re.search("lingua, which judges better, is not installed", report.notes[0])


def test_one_cause_gives_one_finding(tmp_path):
    rows = [good(0), pair("Dis a.", "A."), pair("Dis a.", "B."), pair("Dis a.", "B."), {"messages": "a"}]
    path = write(tmp_path / "i.jsonl", *rows, {"conversations": [1]}, {"messages": []})
    assert found_in(path) == [
        ("conflict", 3),
        ("duplicate", 4),
        ("wrong-type", 5),
        ("wrong-type", 6),
        ("missing-field", 7),
    ]
