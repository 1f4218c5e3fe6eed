"""The assistant's examples: no leak between the splits, right answers right and wrong ones wrong, calls that parse."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from jarvis_nano.corpus import actions, assistant, checker, describing, facts, intents, rewriting, sums
from jarvis_nano.corpus.split import share, side
from jarvis_nano.corpus.wording import fill, normalise
from jarvis_nano.errors import UserError

N_LEAK = 50_000


@pytest.fixture(scope="module")
def train() -> list[assistant.Example]:
    return list(assistant.examples(N_LEAK, seed=1))


@pytest.fixture(scope="module")
def held_out() -> list[assistant.Example]:
    return list(assistant.examples(4_000, seed=2, split="held_out"))


def by_kind(examples: list[assistant.Example]) -> dict[str, list[assistant.Example]]:
    kinds = defaultdict(list)
    for example in examples:
        kinds[example.kind].append(example)
    return kinds


# -- the splits ----------------------------------------------------------------------------------------------------


def test_no_instruction_of_one_split_is_in_the_other(train, held_out):
    seen = {normalise(example.instruction) for example in train}
    assert len(train) == N_LEAK
    assert not seen & {normalise(example.instruction) for example in held_out}


def test_sums_are_split_by_unordered_operands(train):
    for item in sums.sums("held_out"):
        assert side(f"{min(item.a, item.b)} {item.sign} {max(item.a, item.b)}") == "held_out"
    equations = {f"On a {item.equation}" for item in sums.sums("held_out")}
    assert 15 <= len(equations) <= 40
    assert not equations & {example.response for example in train}


@pytest.mark.parametrize("sign", ["+", "-"])
def test_both_sides_of_a_sum_are_split_alike(sign):
    splits = {(item.a, item.b): item.split for s in ("train", "held_out") for item in sums.sums(s) if item.sign == sign}
    assert all(splits.get((b, a), split) == split for (a, b), split in splits.items())


def test_exercises_use_no_held_out_sentence_and_the_checker_reads_them(held_out):
    sources = {example.instruction.split(" : ")[-1] for example in held_out if example.kind in ("plural", "past")}
    texts = [checker.sentences(text) for text in assistant.exercises(2_000, seed=4)]
    rewritten = {sentence for text in texts if not any("?" in s for s in text) for sentence in text[::2]}
    told = [sentence for text in texts for sentence in text]
    assert sources
    assert not sources & rewritten
    assert sum(checker.fault(sentence) is not None for sentence in told) <= 0.002 * len(told)


def test_every_list_of_wordings_has_at_least_twelve_and_holds_some_out():
    lists = [relation.questions for relation in (facts.CAPITAL, *facts.RELATIONS)]
    lists += [intent.wordings for intent in intents.GREETINGS + intents.REFUSALS]
    lists += [describing.WORDINGS, *rewriting.WORDINGS.values()]
    for wordings in lists:
        assert len(set(wordings)) == len(wordings) >= 12
        assert not set(share(wordings, "train")) & set(share(wordings, "held_out"))
        assert len(share(wordings, "held_out")) >= 2


def test_no_wording_looks_like_an_address():
    """An address goes around instructions of both splits: it must not make two wordings alike."""
    wordings = [w for relation in (facts.CAPITAL, *facts.RELATIONS) for w in relation.questions]
    wordings += [w for intent in intents.GREETINGS + intents.REFUSALS for w in intent.wordings]
    wordings += [w for tool in actions.TOOLS for w in tool.wordings]
    assert not [w for w in wordings if w.startswith("Jarvis,") or w.endswith(", s'il te plaît.")]


def test_examples_are_a_function_of_count_seed_and_split():
    first = list(assistant.examples(300, 5, "held_out"))
    assert first == list(assistant.examples(300, 5, "held_out"))
    assert first != list(assistant.examples(300, 6, "held_out"))
    script = "from jarvis_nano.corpus import assistant; assistant.run()"
    other = subprocess.run(
        [sys.executable, "-c", script, "--count", "300", "--seed", "5", "--split", "held_out"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONUTF8": "1"},
    )
    assert other.stdout.splitlines() == [example.as_json() for example in first]


def test_held_out_takes_kinds_in_turn_and_repeats_nothing():
    examples = list(assistant.examples(330, 9, "held_out"))
    assert set(Counter(example.kind for example in examples).values()) == {30}
    assert len(assistant.KINDS) == 11
    assert len({example.instruction for example in examples}) == len(examples)


# -- right and wrong -----------------------------------------------------------------------------------------------


def test_every_response_is_right(train, held_out):
    wrong = [example for example in train + held_out if not assistant.is_right(example, example.response)]
    assert not wrong[:3]


def test_the_answer_to_another_instruction_is_wrong(held_out):
    rng = random.Random(4)
    for kind, examples in by_kind(held_out).items():
        pairs = [rng.sample(examples, 2) for _ in range(400)]
        pairs = [(one, other) for one, other in pairs if one.response != other.response]
        taken = sum(assistant.is_right(one, other.response) for one, other in pairs)
        # « 7 + 5 » may be answered « 5 + 7 = 12 »; two wordings of one intent share its replies
        allowed = {"greeting": 0.1, "arithmetic": 0.02}.get(kind, 0.0)
        assert taken <= allowed * len(pairs), f"{kind}: {taken} of {len(pairs)} foreign answers accepted"


def test_an_empty_answer_an_echo_and_a_longer_answer_are_wrong(held_out):
    for example in held_out:
        assert not assistant.is_right(example, "")
        assert not assistant.is_right(example, example.response + " " + example.response)
        if example.kind not in ("greeting", "refusal"):  # « À bientôt ! » may be answered with the same words
            assert not assistant.is_right(example, example.instruction)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("7 + 5 = 12.", True),
        ("5 + 7 = 12", True),
        ("12", True),
        ("Cela fait 12.", True),
        ("7 + 5 = 13.", False),
        ("7 + 6 = 13.", False),
        ("7 + 6 = 12.", False),
        ("11 ou 12", False),
        ("1", False),
        ("", False),
    ],
)
def test_sums_are_judged_by_the_sum_asked_for(answer, right):
    assert assistant.is_right(assistant.Example("Combien font 7 + 5 ?", "7 + 5 = 12.", "arithmetic"), answer) is right


def test_a_subtraction_may_not_be_turned_round():
    assert not assistant.is_right(assistant.Example("Calcule 9 - 4.", "9 - 4 = 5.", "arithmetic"), "4 - 9 = 5.")


@pytest.mark.parametrize(
    ("kind", "instruction", "response", "answer", "right"),
    [
        ("capital", "…", "La capitale de la France est Paris.", "paris", True),
        ("capital", "…", "La capitale de la France est Paris.", "C’est Paris.", True),
        ("capital", "…", "La capitale de la France est Paris.", "Paris est la capitale de la France.", True),
        ("capital", "…", "La capitale de la France est Paris.", "La capitale de l'Espagne est Paris.", False),
        ("capital", "…", "La capitale de la France est Paris.", "La capitale de la France est Madrid.", False),
        ("fact", "…", "Le citron est jaune.", "La banane est jaune.", False),
        ("plural", "…", "Les chats dorment.", "Les chats dort.", False),
        ("negation", "…", "Le chat ne dort pas.", "Le chat dort.", False),
        ("greeting", "Merci !", "De rien !", "Avec plaisir !", True),
        ("greeting", "Merci !", "De rien !", "Au revoir et à bientôt !", False),
        ("refusal", "…", "Je ne connais pas l'avenir.", "Je ne peux pas le savoir.", False),
        ("story", "Léo dort. Léo mange une pomme dans le parc. Qui ?", "C'est Léo.", "Léo", True),
        ("story", "Léo mange une pomme dans le parc. Que ?", "Léo mange une pomme.", "Léo mange une poire.", False),
        (
            "story",
            "Léo mange une pomme dans le parc. Que mange Léo ?",
            "Léo mange une pomme.",
            "Léo mange une pomme dans le parc.",
            True,
        ),
    ],
)
def test_judges(kind, instruction, response, answer, right):
    assert assistant.is_right(assistant.Example(instruction, response, kind), answer) is right


# -- actions -------------------------------------------------------------------------------------------------------


def test_calls_have_the_original_form():
    assert actions.call("open_app", {"app": "Spotify"}) == "<CALL:open_app{'app':'Spotify'}>"


@pytest.mark.parametrize("value", ["l'école", "a\\b", "'", '"', "}>", "dis 'oui'"])
def test_calls_survive_quotes(value):
    assert actions.parse(actions.call("note", {"text": value}) + " Bien.") == ("note", {"text": value}, "Bien.")


def test_every_action_parses_and_several_tools_occur(train):
    parsed = [actions.parse(example.response) for example in train if example.kind == "action"]
    assert all(parsed)
    assert len({call[0] for call in parsed if call}) >= 10
    assert all(call[2] and all(call[1].values()) for call in parsed if call)


@pytest.mark.parametrize(
    "answer",
    [
        "<CALL:open_app{'app':'Word'}> Très bien, j'ouvre Spotify.",
        "<CALL:close_app{'app':'Spotify'}> Très bien, j'ouvre Spotify.",
        "<CALL:open_app{'app':'Spotify'}>",
        "<CALL:open_app{'app':__import__('os')}> Très bien, j'ouvre Spotify.",
        "Très bien, j'ouvre Spotify.",
    ],
)
def test_wrong_calls_are_wrong(answer):
    right = "<CALL:open_app{'app':'Spotify'}> Très bien, j'ouvre Spotify."
    assert not assistant.is_right(assistant.Example("Ouvre Spotify.", right, "action"), answer)


# -- the French ----------------------------------------------------------------------------------------------------


def test_no_elision_or_contraction_is_missed(train):
    faults = re.compile(r"\b([dDjJlLnNsS]|qu|Qu)e (?=[aeéèêiouyAEÉIO])(?!onze|oui)|\b(de|à) les? (?!lui)|\ba +\b est")
    found = [e for e in train if faults.search(e.instruction.replace("que est", "")) or faults.search(e.response)]
    assert not found[:3]


def test_templates_are_elided_and_contracted():
    assert fill("l'âge de {x}", x="Alice") == "L'âge d'Alice"
    assert fill("Parle-moi de {x}.", x="le renard") == "Parle-moi du renard."
    assert fill("Parle-moi de {x}.", x="le hibou") == "Parle-moi du hibou."


@pytest.mark.parametrize("kind", ["plural", "negation", "past", "description"])
def test_the_checker_of_the_stories_finds_no_fault(kind):
    checker = pytest.importorskip("jarvis_nano.corpus.checker")
    rng = random.Random(8)
    responses = [assistant.KINDS[kind].draw(rng, "train")[1] for _ in range(400)]
    assert [checker.check(text).faults for text in responses if checker.check(text).faults][:3] == []


def test_instructions_and_answers_are_short(train):
    lengths = sorted(len(re.findall(r"\w+|[^\w\s]", e.instruction)) for e in train)
    assert lengths[len(lengths) * 95 // 100] <= 40
    assert max(len(re.findall(r"\w+|[^\w\s]", e.response)) for e in train) <= 60


# -- command line --------------------------------------------------------------------------------------------------


def test_the_command_writes_instruction_jsonl(tmp_path):
    out = tmp_path / "pairs.jsonl"
    assistant.run(["--count", "50", "--seed", "3", "--split", "held_out", "--out", str(out)])
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [set(row) for row in rows] == [{"instruction", "response"}] * 50
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_the_command_shows_every_kind(capsys):
    assistant.run(["--count", "1", "--show"])
    shown = capsys.readouterr().out
    assert all(kind in shown.splitlines() for kind in assistant.KINDS)


def test_a_count_of_zero_an_unknown_split_and_a_missing_folder_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="at least 1"):
        assistant.run(["--count", "0"])
    with pytest.raises(UserError, match="train or held_out"):
        next(assistant.examples(1, 0, "test"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no folder"):
        assistant.run(["--out", str(tmp_path / "missing" / "pairs.jsonl")])


def test_torch_is_not_imported():
    code = "import sys, jarvis_nano.corpus.assistant; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
