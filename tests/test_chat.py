"""Conversations: the template id by id, instruction files and their faults, and Chat turn after turn."""

import io
import signal
import sys

import numpy as np
import pytest
import torch

from jarvis_nano import generation
from jarvis_nano.chat import Chat, encode_conversation, encode_prompt, render, stop_ids
from jarvis_nano.config import ModelConfig
from jarvis_nano.corpus.instructions import read_instructions
from jarvis_nano.data.batches import ExampleBatches
from jarvis_nano.errors import UserError
from jarvis_nano.generation import generate
from jarvis_nano.model import Transformer
from jarvis_nano.terminal import Terminal
from jarvis_nano.tokenizer import SPECIAL_TOKENS
from jarvis_nano.tokenizer_training import train_tokenizer

USER, ASSISTANT, SYSTEM, END = 4, 5, 6, 7  # SPECIAL_TOKENS in their order
CLOSE = 3
PAIRS = [
    ("Bonjour !", "Bonjour, que puis-je faire pour vous ?"),
    ("Combien font deux et trois ?", "Deux et trois font cinq."),
    ("Quelle est la capitale de la France ?", "La capitale de la France est Paris. Ça vous étonne ? 🙂"),
    ("Ouvre la fenêtre.", "Très bien, j'ouvre la fenêtre."),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread(two_threads):
    """For models this small a second thread costs more than it brings, and on a busy machine 50 times as much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def conversation(*texts, system=None):
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system else []) + turns


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [text for pair in PAIRS for text in pair] * 20
    return train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=300).tokenizer


def make(tokenizer, context=96, **changes):
    torch.manual_seed(0)
    shape = {"n_layers": 2, "n_heads": 4, "d_model": 64, "positions": "rotary", "norm": "rmsnorm", "qk_norm": True}
    return Transformer(ModelConfig(vocab_size=tokenizer.vocab_size, context=context, **{**shape, **changes})).eval()


def tune(model, batches, steps, rate=6e-3):
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    model.train()
    for step in range(steps):
        batch = batches.batch(step)
        loss = model.loss(batch.ids, batch.targets, document=batch.document).loss.sum() / (batch.targets != -100).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    return loss.item()


@pytest.fixture(scope="module")
def tuned(tokenizer):
    """A model that knows four conversations by heart."""
    model = make(tokenizer)
    examples = [encode_conversation(tokenizer, conversation(*pair)) for pair in PAIRS]
    assert tune(model, ExampleBatches(examples, batch_size=3, context=96, seed=0), 80) < 0.05
    return model


def test_template_id_by_id(tokenizer):
    T = lambda text: tokenizer.encode(text).tolist()  # noqa: E731
    messages = conversation("Bonjour !", "Salut.", "Qui es-tu ?", "Jarvis.", system="Sois bref.")
    ids, mask = encode_conversation(tokenizer, messages)
    expected = [
        ([SYSTEM, *T("Sois bref."), END], 0),
        ([USER, *T("Bonjour !"), END, ASSISTANT], 0),
        ([*T("Salut."), END], 1),
        ([USER, *T("Qui es-tu ?"), END, ASSISTANT], 0),
        ([*T("Jarvis."), END], 1),
        ([CLOSE], 0),
    ]
    assert ids.tolist() == [token for segment, _ in expected for token in segment]
    assert mask.tolist() == [bool(learnt) for segment, learnt in expected for _ in segment]
    assert mask.dtype == bool
    assert ids.dtype == tokenizer.encode("a").dtype
    prompt = encode_prompt(tokenizer, messages[:-1])
    assert prompt.tolist() == ids[: len(prompt)].tolist()
    assert prompt[-1] == ASSISTANT


def test_segments_are_tokenised_apart(tokenizer):
    """No merge crosses a joint, though these texts would merge if they were joined first."""
    joined = tokenizer.encode("Bonjour")
    ids, _ = encode_conversation(tokenizer, conversation("Bonj", "our"))
    apart = [*tokenizer.encode("Bonj"), *tokenizer.encode("our")]
    assert [token for token in ids if token >= len(SPECIAL_TOKENS)] == apart
    assert len(apart) > len(joined)


@pytest.mark.parametrize("injected", SPECIAL_TOKENS)
def test_special_tokens_in_a_text_are_ordinary_text(tokenizer, injected):
    text = f"Dis {injected} s'il te plaît"
    for messages in (conversation(text, "Non."), conversation("Va", text), conversation("a", "b", system=text)):
        ids, _ = encode_conversation(tokenizer, messages)
        n_special = sum(int(token) < len(SPECIAL_TOKENS) for token in ids)
        assert n_special == 2 * len(messages) + 1
        assert injected in tokenizer.decode(ids, special=False)
    chat = Chat(make(tokenizer), tokenizer)
    question = chat._ids("user", text)
    assert sum(token < len(SPECIAL_TOKENS) for token in question) == 2


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "no messages"),
        ([{"role": "robot", "content": "x"}], "message 1 has the role 'robot'"),
        ([{"content": "x"}], "message 1 has the role None"),
        (conversation("a", "  "), r"message 2 \(assistant\) is empty"),
        ([{"role": "user", "content": None}], r"message 1 \(user\) is null"),
        (conversation("a", "b", "c"), "last message is of the user; expected the assistant"),
        ([{"role": "assistant", "content": "x"}], "message 1 is of the assistant; expected the user"),
        (conversation("a", "b") + conversation("c", "d", system="s"), "message 3 is of the system; expected the user"),
        (conversation("a", "b", system="s")[:1], "last message is of the system"),
        (conversation("a\ud800", "b"), "surrogate"),
    ],
)
def test_conversations_that_cannot_be(messages, message):
    with pytest.raises(UserError, match=message):
        render(messages)


def test_real_instructions_are_read(shared_data, tokenizer):
    found = read_instructions(shared_data / "instructions" / "oasst1_fr.jsonl")
    assert len(found) == 256
    assert max(map(len, found)) == 6
    assert len(read_instructions(shared_data / "seed" / "jarvis_instructions.jsonl")) == 100
    for messages in found[:20]:
        ids, mask = encode_conversation(tokenizer, messages)
        learnt = tokenizer.decode(ids[mask], special=False)
        assert learnt == "".join(message["content"] for message in messages if message["role"] == "assistant")


def test_a_tuned_model_says_back_what_it_was_taught(tuned, tokenizer):
    chat = Chat(tuned, tokenizer, temperature=0)
    for question, answer in PAIRS:
        chat.restart()
        assert "".join(chat.reply(question)) == answer
        assert chat.finish == "stop"
    assert "".join(Chat(tuned, tokenizer, temperature=0.7, seed=3).reply(PAIRS[1][0])) == PAIRS[1][1]


def test_the_end_of_a_turn_is_learnt(tuned, tokenizer):
    """A fault of the original project: without a learnt end, an answer runs on until the tokens are used up."""
    prompt = encode_prompt(tokenizer, conversation(PAIRS[0][0]))
    ids = generate(tuned, prompt, max_new_tokens=60, temperature=0).tolist()
    n_answer = len(tokenizer.encode(PAIRS[0][1]))
    assert ids[n_answer] == END

    model = make(tokenizer)
    examples = [encode_conversation(tokenizer, conversation(*pair)) for pair in PAIRS]
    without_end = [(ids, mask & (ids != END)) for ids, mask in examples]
    tune(model, ExampleBatches(without_end, batch_size=3, context=96, seed=0), 60)
    assert END not in generate(model, prompt, max_new_tokens=60, temperature=0)


def test_targets_are_the_next_ids_and_those_of_the_assistant_only(tokenizer):
    """A fault of the original project: with targets that were not shifted, the model learnt to copy."""
    ids, mask = encode_conversation(tokenizer, conversation(*PAIRS[3]))
    batch = ExampleBatches([(ids, mask)], batch_size=1, context=96, seed=0).batch(0)
    targets = batch.targets[0].tolist()
    learnt = [t for t in targets if t != -100]
    assert learnt == [*tokenizer.encode(PAIRS[3][1]).tolist(), END]
    first = targets.index(learnt[0])
    assert batch.ids[0, first] == ASSISTANT
    assert batch.ids[0, first + 1 : first + len(learnt)].tolist() == learnt[:-1]


def test_a_tuned_model_predicts_rather_than_copies(tuned, tokenizer):
    """At a position of the answer the model's first guess is the next id, not the one that it reads."""
    ids, mask = encode_conversation(tokenizer, conversation(*PAIRS[2]))
    ids = ids.astype(np.int64)
    with torch.no_grad():
        guess = tuned(torch.from_numpy(ids[None, :-1])).argmax(-1)[0].numpy()
    assert (guess == ids[1:])[mask[1:]].all()
    assert (guess == ids[:-1])[mask[1:]].mean() < 0.1


def prompts_of(chat, monkeypatch):
    """What each forward pass of the model reads: (positions before, ids)."""
    read = []
    hidden = Transformer.hidden

    def spy(self, ids, *, cache=None, document=None):
        read.append((cache.length, ids[0].tolist()))
        return hidden(self, ids, cache=cache, document=document)

    monkeypatch.setattr(Transformer, "hidden", spy)
    return read


def test_only_new_ids_are_read_and_the_answer_is_that_of_a_fresh_reading(tokenizer, monkeypatch):
    model = make(tokenizer, context=256)
    chat = Chat(model, tokenizer, "Sois bref.", temperature=1.0, seed=2, max_tokens=12)
    read = prompts_of(chat, monkeypatch)
    first = "".join(chat.reply("Bonjour !"))
    n_read = read[-1][0] + len(read[-1][1])
    read.clear()
    second = "".join(chat.reply("Et puis ?"))
    assert read[0][0] == n_read  # it went on where the first turn ended
    assert len(read[0][1]) <= 3 + len(tokenizer.encode("Et puis ?")) + 2
    assert all(len(ids) == 1 for _, ids in read[1:])
    turn = chat._turns[0]
    prompt = [*chat._system, *turn.ids, *chat._ids("user", "Et puis ?"), ASSISTANT]
    fresh = Chat(model, tokenizer, "Sois bref.", temperature=1.0, seed=2, max_tokens=12)
    fresh._turns = [turn]
    assert "".join(fresh.reply("Et puis ?")) == second
    answer = chat._turns[1].ids[len(prompt) - len(chat._system) - len(turn.ids) : -1]
    options = {"temperature": 1.0, "top_p": 0.95, "seed": 2, "max_new_tokens": 12, "stop": stop_ids(tokenizer)}
    assert answer == list(generation.stream(model, prompt, row=1, **options))  # turn 1 has the generator (2, 1)
    texts = [first, second]
    assert [m["content"] for m in chat.messages] == ["Sois bref.", "Bonjour !", texts[0], "Et puis ?", texts[1]]
    assert chat._read[: len(prompt)] == prompt


def test_pieces_are_whole_characters_and_none_is_lost(tokenizer):
    """An untrained model writes bytes at random, many of them parts of characters."""
    model = make(tokenizer, context=256)
    n_pieces = 0
    for seed in range(12):
        chat = Chat(model, tokenizer, temperature=3.0, max_tokens=60, seed=seed)
        pieces = list(chat.reply("Bonjour !"))
        ids = chat._turns[0].ids
        answer = tokenizer.decode(ids[ids.index(ASSISTANT) + 1 : -1])
        assert answer in ("".join(pieces), "".join(pieces) + "\ufffd")  # but for a character cut off at the end
        assert chat.messages[-1]["content"] == "".join(pieces)
        n_pieces += len(pieces)
    assert n_pieces > 100


def test_a_streamed_emoji_comes_whole(tuned, tokenizer):
    pieces = list(Chat(tuned, tokenizer, temperature=0).reply(PAIRS[2][0]))
    assert len(tokenizer.encode("🙂")) > 1
    assert any("🙂" in piece for piece in pieces)
    assert "\ufffd" not in "".join(pieces)


def test_a_character_cut_off_by_the_limit_is_left_out(tuned, tokenizer, monkeypatch):
    ids = [*tokenizer.encode("Oui 🙂")]
    drawn = iter(ids)
    monkeypatch.setattr(generation, "sample", lambda logits, uniforms, **options: torch.tensor([int(next(drawn))]))
    chat = Chat(tuned, tokenizer, max_tokens=len(ids) - 1)
    assert "".join(chat.reply("a")) == "Oui "
    assert chat.finish == "length"
    assert chat.messages[-1]["content"] == "Oui "


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_every_special_token_ends_an_answer(tuned, tokenizer, token, monkeypatch):
    drawn = iter([*tokenizer.encode("Oui"), tokenizer.special_id(token)])
    monkeypatch.setattr(generation, "sample", lambda logits, uniforms, **options: torch.tensor([int(next(drawn))]))
    chat = Chat(tuned, tokenizer)
    assert "".join(chat.reply("a")) == "Oui"
    assert chat.finish == "stop"
    assert chat._turns[0].ids[-1] == END


def test_the_oldest_turns_go_when_the_context_is_full(tokenizer, monkeypatch):
    model = make(tokenizer, context=96)
    chat = Chat(model, tokenizer, "Sois bref.", temperature=1.0, max_tokens=20)
    read = prompts_of(chat, monkeypatch)
    for turn in range(8):
        read.clear()
        list(chat.reply(f"Combien font deux et trois ? {turn}"))
        assert max(start + len(ids) for start, ids in read) <= 96
    assert 0 < chat.forgotten < 8
    assert len(chat.messages) == 1 + 16
    kept = [token for turn in chat._turns[chat.forgotten :] for token in turn.ids]
    assert chat._read[: len(chat._system)] == chat._system  # the system prompt stays
    assert chat._read[len(chat._system) :] == kept[: len(chat._read) - len(chat._system)]
    chat.restart()
    assert (chat.forgotten, chat.messages) == (0, [{"role": "system", "content": "Sois bref."}])


def test_after_forgetting_the_answer_is_that_of_a_fresh_reading(tokenizer):
    model = make(tokenizer, context=96)
    chat = Chat(model, tokenizer, temperature=0, max_tokens=20)
    for turn in range(6):
        list(chat.reply(f"Combien font deux et trois ? {turn}"))
    assert chat.forgotten
    seen = [token for turn in chat._turns[chat.forgotten : -1] for token in turn.ids]
    last = chat._turns[-1].ids
    question = last[: last.index(ASSISTANT) + 1]
    fresh = generate(model, seen + question, max_new_tokens=20, temperature=0, stop=stop_ids(tokenizer))
    assert last[len(question) : -1] == fresh.tolist()


def test_an_answer_cut_short_says_so(tokenizer):
    model = make(tokenizer, context=40)
    chat = Chat(model, tokenizer, temperature=1.0, max_tokens=5)
    list(chat.reply("Bonjour !"))
    assert chat.finish == "length"
    chat = Chat(model, tokenizer, temperature=1.0, max_tokens=1000)
    list(chat.reply("Bonjour !"))
    assert chat.finish == "length"
    assert len(chat._system) + sum(len(turn.ids) for turn in chat._turns) <= 40 + 2


def test_a_reader_that_leaves_keeps_what_it_read(tuned, tokenizer):
    chat = Chat(tuned, tokenizer, temperature=0)
    answer = chat.reply(PAIRS[0][0])
    piece = next(answer)
    answer.close()
    assert chat.finish == "interrupted"
    assert chat.messages[-1]["content"] == piece
    assert "".join(chat.reply(PAIRS[1][0]))  # and the chat goes on, with a cache that still fits
    assert chat._read == [token for turn in chat._turns for token in turn.ids][: len(chat._read)]
    unread = Chat(tuned, tokenizer)
    unread.reply("Bonjour !")
    assert unread.messages == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), (" \n", "is empty"), ("mot " * 300, "the message takes"), ("\ud800", "surrogate")],
)
def test_messages_that_cannot_be(tuned, tokenizer, text, message):
    chat = Chat(tuned, tokenizer, "Sois bref.")
    with pytest.raises(UserError, match=message):
        chat.reply(text)  # at once, not when the first piece is asked for
    assert len(chat.messages) == 1


def test_settings_that_cannot_be(tuned, tokenizer):
    with pytest.raises(UserError, match="system prompt takes"):
        Chat(tuned, tokenizer, "mot " * 100)
    with pytest.raises(UserError, match="max_tokens is 0"):
        Chat(tuned, tokenizer, max_tokens=0)
    with pytest.raises(UserError, match="temperature"):
        list(Chat(tuned, tokenizer, temperature=-1).reply("a"))


def converse(monkeypatch, capsys, chat, text, language="fr"):
    """What a piped conversation writes: (stdout, stderr)."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    terminal = Terminal(chat, language)
    monkeypatch.setattr(terminal, "_introduce", lambda run: None)
    terminal.talk("run")
    return capsys.readouterr()


def test_piped_lines_are_turns_and_stdout_holds_the_answers_alone(tuned, tokenizer, monkeypatch, capsys):
    lines = [PAIRS[0][0], "/recommencer", "", PAIRS[3][0], "/temperature 0,5", "/nimporte", "/quitter", PAIRS[1][0]]
    chat = Chat(tuned, tokenizer, temperature=0)
    out, err = converse(monkeypatch, capsys, chat, "\n".join(lines) + "\n")
    assert out == f"{PAIRS[0][1]}\n{PAIRS[3][1]}\n"
    assert "La conversation est oubliée." in err
    assert "Température : 0.5" in err
    assert "/nimporte n'est pas une commande" in err
    assert chat.temperature == 0.5


def test_ctrl_c_ends_the_answer_and_not_the_program(tokenizer, monkeypatch, capsys):
    chat = Chat(make(tokenizer, context=512), tokenizer, max_tokens=400)
    chat._stops = ()
    terminal = Terminal(chat)
    terminal.interactive = True
    terminal.notices = terminal.console
    monkeypatch.setattr(terminal, "_introduce", lambda run: None)
    lines = iter(["Bonjour !", KeyboardInterrupt, "/temperature 0", EOFError])

    def entered(prompt):
        line = next(lines)
        if not isinstance(line, str):
            raise line
        return line

    def sampled(prompt, limit):
        for n, token in enumerate(original(prompt, limit)):
            if n == 5:
                signal.raise_signal(signal.SIGINT)
            yield token

    original = chat._sampled
    monkeypatch.setattr(terminal.console, "input", entered)
    monkeypatch.setattr(chat, "_sampled", sampled)
    handler = signal.getsignal(signal.SIGINT)
    terminal.talk("run")
    out = capsys.readouterr().out
    assert "(réponse interrompue)" in out
    assert "Ctrl-D ou /quitter pour terminer." in out
    assert "Température : 0" in out
    assert out.endswith("À bientôt !\n")
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(chat._turns[0].ids) < 100
    assert chat.messages[-1]["content"]


def test_the_terminal_speaks_english_too(tuned, tokenizer, monkeypatch, capsys):
    _, err = converse(monkeypatch, capsys, Chat(tuned, tokenizer), "/temperature warm\n/help\n/aide\n", "en")
    assert "warm is no temperature" in err
    assert err.count("Ctrl-D ends") == 2


def test_a_piped_turn_that_cannot_be_is_the_users_error(tuned, tokenizer, monkeypatch, capsys):
    with pytest.raises(UserError, match="the message takes"):
        converse(monkeypatch, capsys, Chat(tuned, tokenizer), "mot " * 300)
