"""Words of other languages: {{lang|en|…}}, {{japonais|…|…|…}}, {{en anglais|…}}, {{lien|…}}."""

from __future__ import annotations

import re
from collections.abc import Callable

from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments, first

_NAMED = (
    "ar=arabe bg=bulgare br=breton ca=catalan co=corse cs=tchèque cy=gallois da=danois de=allemand el=grec "
    "en=anglais eo=espéranto es=espagnol et=estonien eu=basque fa=persan fi=finnois fr=français fy=frison "
    "ga=irlandais gl=galicien grc=grec-ancien gsw=alémanique he=hébreu hi=hindi hr=croate hu=hongrois "
    "hy=arménien id=indonésien is=islandais it=italien ja=japonais ka=géorgien ko=coréen ku=kurde la=latin "
    "lb=luxembourgeois lt=lituanien lv=letton mn=mongol ms=malais nl=néerlandais no=norvégien oc=occitan "
    "pl=polonais pt=portugais ro=roumain ru=russe sa=sanskrit sco=scots sk=slovaque sl=slovène sq=albanais "
    "sr=serbe sv=suédois sw=swahili ta=tamoul th=thaï tr=turc uk=ukrainien ur=ourdou uz=ouzbek vi=vietnamien "
    "wa=wallon yi=yiddish zh=chinois bn=bengali nb=norvégien nn=norvégien-nynorsk be=biélorusse kk=kazakh "
    "mk=macédonien mt=maltais pi=pali pcd=picard frp=francoprovençal sc=sarde scn=sicilien "
    "gd=gaélique-écossais gv=mannois kw=cornique non=vieux-norrois ang=vieil-anglais fro=ancien-français "
    "bo=tibétain ne=népalais mr=marathi te=télougou ml=malayalam lo=lao km=khmer my=birman af=afrikaans "
    "mg=malgache mi=maori haw=hawaïen ty=tahitien qu=quechua gn=guarani nah=nahuatl mul=multilingue bs=bosnien "
    "li=limbourgeois als=alsacien"
)
# code -> French name, as after « en »
NAMES = dict(pair.split("=") for pair in _NAMED.split())
_CODE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_PARENTHESIS = re.compile(r" \([^()]*\)$")


def name(code: str) -> str:
    """« anglais » of « en », « en-GB » or « anglais » itself."""
    return NAMES.get(code.lower().partition("-")[0], code).replace("-", " ")


def lang(arguments: Arguments) -> str:
    """{{lang|en|text}}, {{langue|texte=…}}: the text alone; with `trad` its meaning in parentheses."""
    text = first(arguments, "texte", "2", "text")
    if not text and not _CODE.fullmatch(arguments.get("1", "")):
        text = arguments.get("1", "")
    meaning = first(arguments, "trad", "traduction", "sens")
    return f"{text} (« {meaning} »)" if text and meaning else text


def in_language(arguments: Arguments) -> str:
    """{{en langue|nl|Brussel}} -> « en néerlandais : Brussel »."""
    code, text = arguments.get("1", ""), first(arguments, "2", "texte")
    return f"en {name(code)} : {text}" if text else ""


def named(language: str, *, parentheses: bool = False) -> Callable[[Arguments], str]:
    """{{lang-es|…}} -> « en espagnol : … »; {{en espagnol|…}} the same in parentheses."""

    def render(arguments: Arguments) -> str:
        texts = [arguments[key] for key in ("1", "2") if arguments.get(key)]
        text = f"en {language} : {', '.join(texts)}" if texts else ""
        if meaning := first(arguments, "trad", "traduction", "sens", "3"):
            text += f", « {meaning} »"
        return f"({text})" if parentheses and text else text

    return render


def lang_named(arguments: Arguments) -> str:
    """{{latin|De anima}}: the text alone, a transcription after it in parentheses."""
    text, transcribed = first(arguments, "texte", "1"), first(arguments, "2")
    return f"{text} ({transcribed})" if text and transcribed else text


def glossed(prefix: str = "") -> Callable[[Arguments], str]:
    """{{japonais|Asuka|飛鳥池|Asuka ike|extra}} -> « Asuka (飛鳥池, Asuka ike, extra) »."""

    def render(arguments: Arguments) -> str:
        text = first(arguments, "1", "fr", "français")
        keys = (("2", "kanji", "arabe", "texte"), ("3", "romaji", "translit", "transcription"), ("4", "sens", "extra"))
        inside = ", ".join(filter(None, (first(arguments, *names) for names in keys)))
        if not text:
            return prefix + inside if inside else ""
        return f"{text} ({prefix}{inside})" if inside else text

    return render


def chinese(arguments: Arguments) -> str:
    """{{chinois|t=漢語|s=汉语|p=Hànyǔ}} -> « en chinois : 漢語 / 汉语, Hànyǔ »; {{chinois|漢語|Hànyǔ}} likewise."""
    signs = [first(arguments, *names) for names in (("t", "ct", "trad", "c", "1"), ("s", "cs", "simp"))]
    sounds = first(arguments, "p", "pinyin", "py", "2")
    meaning = first(arguments, "l", "sens", "3")
    pieces = [" / ".join(dict.fromkeys(filter(None, signs))), sounds, f"« {meaning} »" if meaning else ""]
    return "en chinois : " + ", ".join(filter(None, pieces)) if any(pieces) else ""


def slashed(arguments: Arguments) -> str:
    """{{grec ancien|λόγος|lógos|parole}} -> « λόγος / lógos, « parole » »."""
    text = " / ".join(arguments[key] for key in ("1", "2") if arguments.get(key))
    return f"{text}, « {arguments['3']} »" if arguments.get("3") else text


def red_link(arguments: Arguments) -> str:
    """{{lien|langue=en|trad=List of X|fr=Liste de X|texte=…}}: the text, else the French title, else the foreign."""
    return first(arguments, "texte", "text", "2") or first(arguments, "fr", "1", "trad")


def titled(arguments: Arguments) -> str:
    """{{page h'|titre|texte}}: a link's text, or the title without its sense in parentheses."""
    return first(arguments, "2", "texte") or _PARENTHESIS.sub("", first(arguments, "1"))


def sovereign(arguments: Arguments) -> str:
    """{{souverain2|Léopold Ier (empereur du Saint-Empire)|, roi de Hongrie}} -> « Léopold Ier, roi de Hongrie »."""
    name, more = _PARENTHESIS.sub("", first(arguments, "1")), first(arguments, "2")
    return f"{name}{'' if more.startswith(',') else ' '}{more}" if more else name


def phonetic(arguments: Arguments) -> str:
    """{{MSAPI|b|e|ˈ|z}}: the signs, given one by one or together."""
    return "".join(value for name, value in arguments.items() if name.isdigit())
