"""The doctor: every illness is planted and found by its cause in the file; what is sound is called healthy."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jarvis_nano.errors import UserError
from jarvis_nano.kernels.bpe.patterns import byte_alphabet
from jarvis_nano.tokenizer_lab import doctor_report
from jarvis_nano.tokenizer_lab.comparison import compare
from jarvis_nano.tokenizer_lab.doctor import Diagnosis, examine
from jarvis_nano.tokenizer_lab.doctor.probes import PROBES
from jarvis_nano.tokenizer_lab.texts import Texts


def named(diagnosis: Diagnosis, name: str) -> Any:
    """The finding of that name; a failure that lists the others where there is none."""
    names = [finding.name for finding in diagnosis.findings]
    assert name in names, names
    return next(finding for finding in diagnosis.findings if finding.name == name)


@pytest.fixture
def ill(trained, tmp_path, unseen) -> Callable[..., Diagnosis]:
    """ill(change, config={…}): the diagnosis of our own tokenizer after change(its JSON)."""

    def examined(change: Callable[[dict[str, Any]], None], config: dict[str, Any] | None = None) -> Diagnosis:
        data = json.loads((trained["french"] / "tokenizer.json").read_text(encoding="utf-8"))
        change(data)
        (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
        if config is not None:
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        return examine(tmp_path, unseen.measured[:20])

    return examined


def nothing(data: dict[str, Any]) -> None:
    """No change."""


def test_ours_are_healthy(trained, unseen) -> None:
    found = examine(trained["french"], unseen.measured)
    assert found.healthy
    assert found.probes[0] == found.probes[1] > len(PROBES)
    assert found.lines[0] == found.lines[1] > 100
    assert [finding.name for finding in found.findings] == []


def test_gpt2_s_kind_is_healthy_and_costs_french(trained, unseen) -> None:
    found = examine(trained["gpt2"], unseen.measured)
    assert found.healthy
    elisions = named(found, "elisions")
    assert elisions.level == "cost"
    assert ("l'eau", "l · ' · eau") in elisions.seen
    assert "pre_tokenizer" in elisions.why


def test_the_original_s_kind_loses_by_four_causes(kind, unseen) -> None:
    found = examine(kind["the original's"], unseen.measured)
    assert found.loses
    assert found.lines[0] == 0
    assert named(found, "dropped-characters").why == "pre_tokenizer: Whitespace"
    assert named(found, "no-decoder").why == "decoder: null"
    assert named(found, "unknown-characters").why == "model.unk_token: '<unk>'"
    assert named(found, "normalizer-nfkc").why == "normalizer.normalizers[0]: NFKC"
    assert [finding.level for finding in found.findings[:4]] == ["loses"] * 4
    shares = [finding.share for finding in found.findings[:4]]
    assert shares == sorted(shares, reverse=True)


def test_the_original_itself(shared_data, unseen) -> None:
    found = examine(shared_data / "seed/tokenizer_hf", unseen.measured)
    seen = {name: dict(named(found, name).seen) for name in ("dropped-characters", "no-decoder", "normalizer-nfkc")}
    assert seen["dropped-characters"]["un\ndeux"] == "un deux"
    assert seen["no-decoder"]["oui, non"] == "oui , non"
    assert seen["normalizer-nfkc"]["m²"] == "m 2"
    assert seen["normalizer-nfkc"]["Fin…"] == "Fin . . ."
    assert seen["normalizer-nfkc"]["ﬁn"] == "fin"
    unknown = named(found, "unknown-characters")
    assert ("😀", "<unk>") in unknown.seen
    assert "œ « » —" in unknown.what
    assert "<|system|> <|end|>" in named(found, "chat-tokens").what
    assert found.loses


@pytest.mark.parametrize("name", ["GPT-2", "Llama-3, cl100k", "o200k", "french"])
def test_byte_level_kinds_lose_nothing(kind, unseen, name) -> None:
    assert not examine(kind[name], unseen.measured[:20]).loses


@pytest.mark.parametrize("name", ["Qwen", "NeoX"])
def test_nfc_changes_only_accents_of_their_own(kind, unseen, name) -> None:
    found = examine(kind[name], unseen.measured[:20])
    losing = [finding for finding in found.findings if finding.level == "loses"]
    assert [(finding.name, finding.why) for finding in losing] == [("normalizer-nfc", "normalizer: NFC")]
    assert losing[0].share == 0
    assert all(text == "e\u0301te\u0301" for text, _ in losing[0].seen)


def test_sentencepiece_loses_only_its_own_mark(kind, unseen) -> None:
    found = examine(kind["Llama-2, Mistral"], unseen.measured[:20])
    (losing,) = (finding for finding in found.findings if finding.level == "loses")
    assert losing.name == "reserved-character"
    assert losing.seen == (("a▁b", "a b"),)
    assert losing.why.startswith("normalizer.normalizers[1]")


def _normalizer(kind: str, **more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update(normalizer={"type": kind, **more})


def _without_bytes(data: dict[str, Any]) -> None:
    lost = byte_alphabet()[0xF0]  # every emoji begins with it
    vocab = data["model"]["vocab"]
    del vocab[lost]
    data["model"]["merges"] = [merge for merge in data["model"]["merges"] if lost not in "".join(merge)]


def _prefix_space(data: dict[str, Any]) -> None:
    data["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True


def _removing(data: dict[str, Any]) -> None:
    split = {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Removed", "invert": False}
    data["pre_tokenizer"]["pretokenizers"].insert(0, split)


ILLNESSES = {
    "dropped-characters": (_removing, "pre_tokenizer.pretokenizers[0]: Split", "un\ndeux", "undeux"),
    "normalizer-lowercase": (_normalizer("Lowercase"), "normalizer: Lowercase", "Le PARIS", "le paris"),
    "normalizer-nfkc": (_normalizer("NFKC"), "normalizer: NFKC", "m²", "m2"),
    "normalizer-strip": (
        _normalizer("Strip", strip_left=True, strip_right=True),
        "normalizer: Strip",
        " le",
        "le",
    ),
    "normalizer-replace": (
        _normalizer("Replace", pattern={"String": "œ"}, content="oe"),
        "normalizer: Replace",
        "œuvre",
        "oeuvre",
    ),
    "added-space": (_prefix_space, "pre_tokenizer.pretokenizers[1]", "l'eau", " l'eau"),
    "unknown-characters": (_without_bytes, "model.vocab: bytes of the alphabet are missing", "😀", None),
    "no-decoder": (lambda data: data.update(decoder=None), "decoder: null", "oui, non", None),
    "wrong-decoder": (lambda data: data.update(decoder={"type": "Fuse"}), "decoder: Fuse", "le chat", "leĠchat"),
}


@pytest.mark.parametrize("name", ILLNESSES)
def test_an_illness_is_found_by_its_cause(ill, name) -> None:
    change, why, text, back = ILLNESSES[name]
    found = ill(change)
    finding = named(found, name)
    losing = [one.name for one in found.findings if one.level == "loses"]
    assert losing == [name]
    assert finding.why.startswith(why)
    assert finding.seen
    assert all(before != after for before, after in finding.seen)
    if back is not None:
        assert dict(finding.seen).get(text, back) == back


def _plain_added(data: dict[str, Any]) -> None:
    entry = dict(data["added_tokens"][0], content="eau", id=len(data["model"]["vocab"]), special=False)
    data["added_tokens"].append(entry)


def _dropout(data: dict[str, Any]) -> None:
    data["model"]["dropout"] = 0.1


def _twice(data: dict[str, Any]) -> None:
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [bos, bos, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}},
    }


def _once(data: dict[str, Any]) -> None:
    _twice(data)
    del data["post_processor"]["single"][0]


def _truncation(data: dict[str, Any]) -> None:
    data["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}


def _no_special(data: dict[str, Any]) -> None:
    data["added_tokens"] = []


RISKS = {
    "added-in-text": (_plain_added, None, "'eau'"),
    "dropout": (_dropout, None, "by chance"),
    "template-twice": (_twice, None, "<s> <s>"),
    "truncation": (_truncation, None, "after 5 tokens"),
    "chat-tokens": (_no_special, None, "none of the special tokens"),
    "pad-is-end": (nothing, {"pad_token": "</s>", "eos_token": {"content": "</s>"}}, "one token, </s>"),
    "named-token-missing": (nothing, {"bos_token": "<bos>"}, "bos_token <bos>"),
    "clean-up": (nothing, {"clean_up_tokenization_spaces": True}, "space before ?"),
}


@pytest.mark.parametrize("name", RISKS)
def test_a_risk_is_found_and_is_no_loss(ill, name) -> None:
    change, config, what = RISKS[name]
    found = ill(change, config)
    assert named(found, name).level == "risk"
    assert what in named(found, name).what
    assert not found.healthy
    assert not found.loses


def test_a_beginning_twice_by_template_and_processor(ill) -> None:
    config = {"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ messages }}"}
    assert ("<s>a", "<s><s>a") in named(ill(_once, config), "template-twice").seen
    assert ill(_once, {"bos_token": "<s>", "chat_template": "{{ messages }}"}).healthy


def test_notes_about_the_vocabulary(ill) -> None:
    def change(data: dict[str, Any]) -> None:
        vocab, merges = data["model"]["vocab"], data["model"]["merges"]
        vocab["dĊ" + "d"] = 3000  # d, a line end, d: no merge makes it
        for left, right in (("Ã", "ĥ"), ("Ãĥ", "Â"), ("ÃĥÂ", "©")):  # Ã© decoded twice
            vocab.setdefault(left + right, 3001 + len(vocab))
            merges.append([left, right])

    found = ill(change)
    assert "'d\\nd'" in named(found, "unreachable-tokens").what
    assert "Ã" in named(found, "mojibake").what
    assert named(found, "unused-ids").level == "note"
    assert found.healthy


def test_a_token_that_only_comes_in_company_is_not_called_unreachable(trained, unseen) -> None:
    """l' is a token, and no text ends in it: the letter after it makes it an elision."""
    names = [finding.name for finding in examine(trained["french"], unseen.measured).findings]
    assert "unreachable-tokens" not in names


def test_a_limit_of_one_model_is_noted(ill) -> None:
    assert "512" in named(ill(nothing, {"model_max_length": 512}), "model-max-length").what
    names = [finding.name for finding in ill(nothing, {"model_max_length": 10**30}).findings]
    assert "model-max-length" not in names


def test_a_damaged_companion_is_the_user_s_error(ill, tmp_path) -> None:
    ill(nothing, {})
    for content in ("{", "[1]", "\udce9"):
        (tmp_path / "tokenizer_config.json").write_text(content, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(UserError, match=r"tokenizer_config\.json"):
            examine(tmp_path, ["Le chat."])


def test_the_report_gives_proof_cause_and_cure(kind, unseen, capsys) -> None:
    doctor_report.show(examine(kind["the original's"], unseen.measured[:20]), "stories")
    out = capsys.readouterr().out
    assert "It loses text, for 4 reasons." in out
    assert max(map(len, out.splitlines())) <= 100
    for part in ("seen", "why", "do", "'un\\ndeux'", "decoder: null", "scripts/train_tokenizer.py"):
        assert part in out


ODD: dict[str, tuple[str, Callable[[dict[str, Any]], None], str]] = {
    "no byte step": ("GPT-2", lambda d: d.update(pre_tokenizer={"type": "WhitespaceSplit"}), "not-in-bytes"),
    "a greedy token": (
        "GPT-2",
        lambda d: d["added_tokens"].append(dict(d["added_tokens"][0], content="e", special=False, rstrip=True, id=999)),
        "greedy-added-token",
    ),
    "a greedy space": (
        "o200k",
        lambda d: d["added_tokens"].append(
            dict(d["added_tokens"][0], content=" ", special=False, lstrip=True, rstrip=True, normalized=True, id=999)
        ),
        "greedy-added-token",
    ),
    "a suffix": ("Llama-3, cl100k", lambda d: d["model"].update(end_of_word_suffix="</w>"), "affixes"),
    "bytes left": (
        "Llama-2, Mistral",
        lambda d: d.update(decoder={"type": "Fuse"}),
        "wrong-decoder",
    ),
    "a decoder that strips": ("Llama-2, Mistral", lambda d: d.update(normalizer=None), "wrong-decoder"),
    "Bert's": ("the original's", lambda d: d.update(pre_tokenizer={"type": "BertPreTokenizer"}), "dropped-characters"),
    "by chance": ("the original's", lambda d: d["model"].update(dropout=0.5), "dropout"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_explained_and_compared(kind, tmp_path, name) -> None:
    """Files that no one should make, and people do: every loss has a cause, and nothing falls over."""
    of, change, expected = ODD[name]
    data = json.loads((kind[of] / "tokenizer.json").read_text(encoding="utf-8"))
    change(data)
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    texts = Texts(["L'eau « œuvre » été\nAujourd’hui 😀 ﬁn", "'" * 500, "<|end|> a\u0301 \r\n 日本"], [], "odd")
    found = examine(tmp_path, texts.measured)
    assert named(found, expected).why
    assert "unexplained" not in [finding.name for finding in found.findings]
    (compared,) = compare([tmp_path], texts)
    assert compared.lines >= 3
    json.dumps(compared.as_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(decoder={"type": "Zut"}), "cannot decode"),
        (lambda d: d.update(decoder={"type": "Sequence"}), "cannot decode"),
        (lambda d: d["model"].update(unk_token="<zut>"), "'<zut>', which is not in the vocabulary"),
    ],
)
def test_files_that_nothing_can_use_are_the_user_s_error(kind, tmp_path, change, message) -> None:
    data = json.loads((kind["the original's"] / "tokenizer.json").read_text(encoding="utf-8"))
    change(data)
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        examine(tmp_path, ["Le chat."])


def test_markup_in_a_token_is_shown_as_it_is(ill, capsys) -> None:
    def change(data: dict[str, Any]) -> None:
        _plain_added(data)
        data["added_tokens"][-1]["content"] = "[/bold]"

    doctor_report.show(ill(change), "[red]")
    assert "'[/bold]'" in capsys.readouterr().out
