"""Function words of French and of its neighbours: a cheap first look at the language of a passage, not a verdict."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Words that one of these languages writes often and French never, or hardly ever.
FOREIGN: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the of and to is that was for with he she it this are be by from have had not you they his her were "
        "which at or we what there but will would been has can i my your",
        "es": "el los las y con por del para como más pero su sus lo al se una esta este muy fue ser hay también o",
        "it": "il che di e per non sono della del nel con una lo gli è dei alla delle da ma anche come questo più si",
        "de": "der die das und ist nicht ein eine zu den mit von auf sich auch dem im für sie als wie wir ich aus bei",
        "pt": "o os as e do da dos das em não com uma para que por mais na no ao pelo pela é são foi seu sua",
        "nl": "het een van en dat niet te zijn op voor met aan er maar ook bij naar uit wordt werd door hij ik",
        "ca": "el els i amb per del dels que una és va les més al als no com són aquest aquesta seva seu fou però",
        "oc": "lo los las e amb per dins del dels que una es son coma mai aquel aquela aquesta sus qu'es ont tanben "
        "dempuèi mas òm foguèt aquò lor",
        "la": "et est in ad cum non ut quod quae sunt ab ex sed qui per esse enim autem eius quam atque hoc omnia",
        "ro": "și în de la cu pe nu este din care pentru ca o un mai sau prin au fost lui",
        "ht": "ak nan yo pou te ki li sa gen se pa yon nou mwen ap tout m ou epi moun",
    }.items()
}
# French has these words too, so they do not speak for another language.
_SHARED = (
    "de la le les des du un une et est que qui il en par se sa se ne pas plus tout on ou pour dans sur au a à "
    "elle nous vous je tu me te ce son ses mon ton mes tes y no fut lui leur leurs mais comme avec sans an si d l "
    "n s t m c o i e ont ma non va or as mit foi but es alla dos met fou su mai las os nu ex mas sus er in van no ca"
)
OTHER = frozenset[str]().union(*FOREIGN.values()) - frozenset(_SHARED.split())  # 1 of 3,000 words of the French novels
_FRENCH = (
    "le la les un une des du de et est à au aux en dans par pour sur avec sans sous que qui dont où ne pas plus "
    "il elle ils elles on nous vous je tu me te se ce cet cette ces son sa ses mon ma mes ton ta tes notre votre leur "
    "leurs lui mais ou si comme était étaient être avoir avait avaient ont sont fut furent été fait tout tous toute "
    "toutes même aussi bien très puis quand lorsque chez vers entre après avant depuis encore moi toi eux rien "
    "jamais cela ça d l qu j c n s m t jusqu lorsqu quelqu"
)
FRENCH = frozenset(_FRENCH.split())
# What French writes and its neighbours (Occitan, Catalan, Italian, Latin, the creoles) do not: no single one of them
# decides, their share does.
_ONLY_FRENCH = (
    "les des du est à au aux dans avec sous dont où ne pas il elle ils elles je vous nous ce cet cette ces mais ou "
    "était étaient être avait avaient ont sont fut furent leur leurs qu j c pour une sur même aussi très lorsque chez "
    "après avant depuis notre votre cela ça jusqu lorsqu quelqu toute toutes tous eux moi été fait"
)
ONLY_FRENCH = frozenset(_ONLY_FRENCH.split())

WORD = re.compile(r"[^\W\d_]+")


def words(text: str) -> list[str]:
    """The words of `text` in lower case: runs of letters, so that an elision (l', qu') is a word of its own."""
    return WORD.findall(text.lower())


def count(found: Iterable[str], listed: frozenset[str]) -> int:
    """How many of the words found are of a list."""
    return sum(map(listed.__contains__, found))


def leaning(text: str) -> int:
    """Above 0 where French function words outweigh the others', below 0 where others do, 0 where nothing tells."""
    found = words(text)
    return count(found, FRENCH) - 2 * count(found, OTHER)
