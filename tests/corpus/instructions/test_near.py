"""Near duplicates: found where their Jaccard index says so, and nowhere else; the index is the true one."""

import random

from jarvis_nano.corpus.instructions import near
from jarvis_nano.corpus.instructions.near import SKETCH, THRESHOLD, NearRows

STARTS, MIDDLES, ENDS = ("ba", "de", "fi", "go", "lu"), ("ra", "me", "ti", "nu"), ("", "s", "lon", "vi", "ta")
WORDS = [start + middle + end for start in STARTS for middle in MIDDLES for end in ENDS]


def shingles(text):
    words = text.lower().split()
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def jaccard(one, other):
    one, other = shingles(one), shingles(other)
    return len(one & other) / len(one | other)


def changed(rng, text, share):
    words = text.split()
    for at in rng.sample(range(len(words)), round(share * len(words))):
        words[at] = rng.choice(WORDS)
    return " ".join(words)


def pairs_of(texts):
    rows = NearRows()
    for text in texts:
        rows.add(text)
    return list(rows.pairs())


def test_planted_near_duplicates_are_found_with_their_true_index(monkeypatch):
    monkeypatch.setattr(near, "_BATCH", 5000)  # several batches
    rng = random.Random(1)
    originals = [" ".join(rng.choices(WORDS, k=rng.randint(30, 110))) for _ in range(400)]
    copies = [changed(rng, text, rng.choice([0.02, 0.05, 0.1, 0.3])) for text in originals]
    texts = originals + copies
    expected = {(400 + i, i) for i in range(400) if jaccard(originals[i], copies[i]) >= THRESHOLD}
    found = {(later, earlier): likeness for later, earlier, likeness in pairs_of(texts)}
    assert 100 < len(expected) < 350
    assert len(found.keys() & expected) >= 0.98 * len(expected)
    assert not found.keys() - expected
    for (later, earlier), likeness in found.items():
        assert likeness == jaccard(texts[later], texts[earlier])


def test_long_rows_are_compared_by_a_fair_sample():
    rng = random.Random(2)
    originals = [" ".join(rng.choices(WORDS, k=1500)) for _ in range(40)]
    copies = [changed(rng, text, 0.03) for text in originals]
    found = pairs_of([*originals, *copies])
    assert [(later, earlier) for later, earlier, _ in found] == [(40 + i, i) for i in range(40)]
    assert len(shingles(originals[0])) > 5 * SKETCH
    errors = [likeness - jaccard(originals[i], copies[i]) for i, (_, _, likeness) in enumerate(found)]
    assert abs(sum(errors) / len(errors)) < 0.02
    assert max(map(abs, errors)) < 0.15


def test_case_and_punctuation_do_not_count_and_empty_rows_are_no_pair():
    texts = ["", "Ouvre Spotify !", "…", "ouvre « spotify »", "!!!", "ferme Spotify", "", "🙂 🙂 oui", "🙂 🙂 oui."]
    assert pairs_of(texts) == [(3, 1, 1.0), (8, 7, 1.0)]


def test_letters_outside_the_first_plane_keep_rows_apart():
    texts = ["🙂 un deux trois quatre", "𝒳 et 𝒴 sont cinq six", "sept huit neuf dix", "🙂 un deux trois quatre"]
    assert [(later, earlier) for later, earlier, _ in pairs_of(texts)] == [(3, 0)]


def test_many_rows_from_one_mould_are_each_told_once():
    mould = "le chat numéro {} dort dans la cour sous la lune avec tous ses amis du village et ceux du bourg voisin"
    texts = [mould.format(n) for n in range(3000)]
    later = [one for one, _, _ in pairs_of(texts)]
    assert later == list(range(1, 3000))
