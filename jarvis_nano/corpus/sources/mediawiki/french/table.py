"""The table of French templates: name -> what renders it. Patterns here, functions in the modules beside it.

Names are those of the French Wikipedia, redirects listed as aliases. A user's own rules come before these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from jarvis_nano.corpus.sources.mediawiki.entities import lowered, raised
from jarvis_nano.corpus.sources.mediawiki.french import centuries, dates, languages, places, quantities, quotations
from jarvis_nano.corpus.sources.mediawiki.french.dropped import DROPPED, DROPPED_PREFIXES, UNKNOWN_VALUES
from jarvis_nano.corpus.sources.mediawiki.marks import HOLE
from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments, compile_pattern, parse_rules

Rule = Callable[[Arguments], str]

_PATTERNS = """
# Layout that shows its text and nothing else
nobr; nowrap; nobr romains; unicode; petit; small; grand; big; gras; italique; souligner; souligné; barré;
rouge; gris; vert; bleu; blanc; noir; orange; rose; jaune; violet; centrer; center; pc; petites capitales;
petite capitale; smallcaps; cap; tt; code; clavier; touche; mvar; math; formule; mono; taille; surlignage;
polytonique; polytonic; romain; romains; nom en italique; titre; nom scientifique; taxon; abréviation;
abréviation discrète; abrd; abr; abbr; sigle; infobulle; bulle; note de contenu; indentation; retrait;
alinéa; encadré texte; lettrine; ancre texte; police; police inclinée; minuscules; majuscules; ital; cursive;
rtl; ltr; rtl-lang; langue avec nom; nom japonais | {texte/contenu/1}
couleur; color; coloré; surligné; texte coloré; fond; police couleur; bgcolor | {texte/2/1}
colonnes; colonne; boîte déroulante; encadré; multicol; liste déroulante; cadre; cadre simple; div col;
message galerie; boite déroulante | {contenu/texte/1}
lnobr; lien nobr; page; lien court | {2/1}
tri; tri1; trinombre; sort | {2/texte/1}
phonétique; prononciation API | [[{1}]]
# Marks of doubt: the text that they hang on
refnec; référence nécessaire; ref nécessaire; référence souhaitée; refsou; référence à confirmer;
référence insuffisante; référence incomplète; référence non conforme; référence obsolète;
référence à vérifier; vérification siècle; source insuffisante; source à préciser; à sourcer passage;
passage non sourcé; passage promotionnel; passage évasif; quand; qui; quoi; lequel; laquelle; lesquels;
lesquelles; pourquoi; où; comment; combien; par qui; selon qui; quel; quelle; quels; quelles; pas clair;
pas clair passage; passage à actualiser; formulation; style; incompréhensible; interprétation personnelle;
travaux inédits passage; pertinence; pertinence passage; citation nécessaire passage; préciser; à préciser;
non neutre passage; passage non neutre; douteux; vérifier; lien à préciser; contradiction; c'est-à-dire;
détail; hagiographie passage; anecdote | {texte/1}
# Typography
' ; '- ; ’ | &#39;
= | =
! | |
! - ; !- | |-
!! | ||
( | {{
) | }}
(( | {{{{
)) | }}}}
- | {1}
« ; « - ; guillemet ouvrant | «
» ; guillemet fermant | »
guil; guillemets; "; " " | « {texte/1} »
… ; ... texte; points de suspension; coupure; tronquer; extrait coupé | [[…]]
croix; mort; décès | †
° ; degré | °
‰ | ‰
% | {1} %
etc.; etc; et cetera | &nbsp;etc.
, etc. | , etc.
et al.; et alii; et al | &nbsp;et al.
cf.; cf | cf.
ibid.; ibid | ibid.
op. cit.; op cit; opcit | op. cit.
av JC; av. J.-C.; avJC; av J-C; av J.-C.; avant JC; -JC; av. JC; BCE | &nbsp;av. J.-C.
ap JC; ap. J.-C.; apJC; apr. J.-C.; après JC; apr JC | &nbsp;apr. J.-C.
AP; BP | AP
circa; ca | v.[ {1}]
r. ; règne | r.[ {1}][-{2}]
p.; page n°; pp.; p | p.[ {1}]
vol.; volume | vol.[ {1}]
livre | livre[ {1}]
t.; tome | t.[ {1}]
chap.; chapitre n° | chap.[ {1}]
fasc.; fascicule | fasc.[ {1}]
art. | art.[ {1}]
col. | col.[ {1}]
coll.; collection | coll.[ « {1} »]
éd.; ed. | éd.
§ | §[ {1}]
al. | al.[ {1}]
fol.; folio; f° | f°[ {1}]
n°; numéro; no; num; n° numéro | n°[ {1}][{2}]
nos; n°s; nos. | n°ˢ[ {1}]
nb p.; nb p; nombre de pages | {1} p.
ISSN; ISBN; EAN |
hab.; hab | {1} hab.
1o | 1°
2o | 2°
3o | 3°
e; ème; exposant e; ieme; ième; Eme | e
er; exposant er; Ier exposant | er
re; ère; exposant re | re
ers | ers
res | res
es exposant | es
nd; exposant nd | nd
nde | nde
d exposant; th | th
o; exposant o | o
2; carré | ²
3; cube | ³
1; 4; 5; 6; 7; 8; 9; 0 | {1}
infini; infinity | ∞
pi | π
# Persons
M.; M; monsieur | M.[ {1}]
MM. | MM.[ {1}]
Mme; madame | Mme[ {1}]
Mmes; mesdames | Mmes[ {1}]
Mlle; mademoiselle | Mlle[ {1}]
Mlles | Mlles[ {1}]
Dr; docteur | Dr[ {1}]
Drs | Drs[ {1}]
Pr; professeur | Pr[ {1}]
Me; maître | Me[ {1}]
Mgr; monseigneur | Mgr[ {1}]
St; saint | St[ {1}]
Ste; sainte | Ste[ {1}]
Vve | Vve[ {1}]
Cie | Cie
Ste exposant | Ste
Gal; général | Gal[ {1}]
Cdt | Cdt[ {1}]
Lt | Lt[ {1}]
Cel; Col | Col[ {1}]
fils; père | {1}
noble- | {1}
# Marks of monuments, notes in lists
classé MH; MHclassé; MH classé | Classé MH[ ({1})]
inscrit MH; MHinscrit; MH inscrit | Inscrit MH[ ({1})]
OEIS | suite {id/1} de l'OEIS
syn. | syn.
sp.; sp | sp.
spp. | spp.
var. | var.
ssp.; subsp. | subsp.
cv. | cv.
en fr | {1} en français
supra | voir plus haut
infra | voir plus bas
autre langue; traduction; trad | {1}
liste horizontale; liste simple; liste | {1}[, {2}][, {3}][, {4}][, {5}][, {6}]
période | {1}[-{2}]
article connexe court | {1}
voir | voir {1}
législature de la cinquième République | {1}e législature
circonscription fr | {1}e circonscription[ ({2})]
altitude | {1} m
RN | RN {1}
A | A{1}
N | N{1}
RD; route départementale | D{1}
# Chemistry and sciences by name
Na+ | Na⁺
Cl- | Cl⁻
pH | pH
pKa | pKa
"""

# Names under which a function stands; what differs by an argument follows below.
_FUNCTIONS: tuple[tuple[str, Rule], ...] = (
    ("unité; nombre; nb; unité/2; unités; nombre/2; dunité/2; unitex; num unité; numb; mesure", quantities.unit),
    ("dunité; unité2; dunite", quantities.dimensions(2)),
    ("tunité; unité3", quantities.dimensions(3)),
    ("euro; euros; €", quantities.money("€")),
    ("dollar; dollars; $; US$; dollar américain", quantities.money("$")),
    ("livre sterling; £; livres sterling", quantities.money("£")),
    ("M€; millions d'euros", quantities.money("M€")),
    ("yen; ¥", quantities.money("¥")),
    ("tmp; température; temp", quantities.temperature),
    ("heure; heures; h", quantities.hour),
    ("frac; fraction; sfrac; fract; demi", quantities.fraction),
    ("racine; sqrt; racine carrée", quantities.root),
    ("fchim; formule chimique; chim; formule brute; chem", quantities.chemical),
    ("nombre en romain; romain nombre; en romain; chiffre romain", quantities.roman),
    ("formatnum; formater nombre", lambda a: quantities.formatnum(a.get("1", ""))),
    ("exp; exposant; sup", lambda a: raised(a.get("1", ""))),
    ("ind; indice; sub", lambda a: lowered(a.get("1", ""))),
    ("date; date-; date sport; jma; datevie; jour", dates.date),
    ("date de naissance; date de naissance-; naissance; date naissance; date de naissance2", dates.birth),
    ("date de décès; date de décès-; date de mort; date décès; mort date; décès date", dates.death),
    ("durée; durée2; temps", dates.duration),
    ("date républicaine; date républicaine-; républicain", dates.republican),
    ("s; s-; siècle; siècle-", centuries.century()),
    ("-s; -s-; s av; siècle av. J.-C.", centuries.century(centuries.BEFORE)),
    ("sap; sap-; s ap", centuries.century(centuries.AFTER)),
    ("s mini; s mini-; siècle mini", centuries.century(word="")),
    ("-s mini; -s mini-; s mini av", centuries.century(centuries.BEFORE, word="")),
    ("m-; millénaire; mill; ma; mill-; M-siècle", centuries.century(word=" millénaire")),
    ("-m; -m-; -millénaire; -ma", centuries.century(centuries.BEFORE, word=" millénaire")),
    ("sp; sp-; siècles", centuries.centuries()),
    ("-sp; -sp-; sp av", centuries.centuries(centuries.BEFORE)),
    ("sp mini; sp mini-", centuries.centuries(word="")),
    ("s2; s2-", centuries.centuries(joiner=" et ")),
    ("-s2; -s2-", centuries.centuries(centuries.BEFORE, joiner=" et ")),
    ("sp+; s3; s3-", centuries.centuries(joiner=", ")),
    ("lang; langue; étranger; foreign; texte étranger; langue étrangère", languages.lang),
    ("en langue; lang en; langue nommée", languages.in_language),
    ("japonais; nihongo; coréen; vietnamien; thaï; jap", languages.glossed()),
    ("arabe", languages.glossed("en arabe : ")),
    ("hébreu", languages.glossed("en hébreu : ")),
    ("russe; cyrillique", languages.glossed("en russe : ")),
    ("persan", languages.glossed("en persan : ")),
    ("chinois; chinois2; zh", languages.chinese),
    ("grec ancien; grec; grec moderne; sanskrit; sanskrit2", languages.slashed),
    ("lien; lien rouge; lien interlangue; ill; traduire; LienRouge; lien trad", languages.red_link),
    ("souverain; souverain-; souverain2; souverain2-; souverain3; souverain3-; roi; noble; noble2; reine; empereur; "
     "pape; prince", languages.sovereign),
    ("page h'; page h; pageh; homonymie lien; lien vers; lien siècle", languages.titled),
    ("MSAPI; API; IPA; API-fr; alphabet phonétique", languages.phonetic),
    ("citation; citation courte; cita; cit; quote; citation nécessaire; citnec; citation en ligne",
     quotations.quotation),
    ("citation étrangère; citation langue; citation anglaise; citation étrangère-", quotations.foreign),
    ("citation bloc; bloc citation; cquote; citation longue; blockquote; citation2; citation_bloc; bloc de citation; "
     "citation encadrée", quotations.block),
    ("début citation; début de citation; début citation bloc; début citation étrangère; début vers", lambda a: "\n\n"),
    ("fin citation; fin de citation; fin citation bloc; fin citation étrangère; fin vers", quotations.block_end),
    ("vers; poème; poem; strophe", quotations.verse),
    ("incise; tirets; tiret", quotations.aside),
    ("ouvrage; citation ouvrage; bibliographie ouvrage; thèse; écrit", quotations.work()),
    ("article; chapitre; article périodique; article encyclopédique; lien conférence", quotations.work(quotes=True)),
    ("harvsp; harv; harvard; harvp; référence Harvard", quotations.harvard),
    ("pays; pays3; drapeau2; JO; pavillon; pays2; jo; drapeau texte; équipe de", places.flagged),
    ("jumelage", places.twin_town),
    ("espace; espace insécable; space; nbsp; esp; espaces", lambda a: " "),
)  # fmt: skip


def names_in(text: str) -> Iterator[str]:
    return (name.strip() for name in text.split(";"))


def key(name: str) -> str:
    """A template's name as the table knows it: the first letter large, no underscores, single spaces."""
    name = " ".join(name.replace("_", " ").split())
    return name[:1].upper() + name[1:]


@cache
def rules() -> dict[str, Rule | None]:
    """key(name) -> its rule, None where the template is dropped. Built at the first use, shared."""
    table: dict[str, Rule | None] = {key(name): None for name in DROPPED}
    for names, pattern in parse_rules(_PATTERNS, "the table of templates"):
        rule = compile_pattern(pattern) if pattern else None
        table.update((key(name), rule) for name in names)
    for text, function in _FUNCTIONS:
        table.update((key(name), function) for name in names_in(text))
    for code, name in languages.NAMES.items():
        spoken = name.replace("-", " ")
        table.setdefault(key(f"lang-{code}"), languages.named(spoken))
        table.setdefault(key(f"en {spoken}"), languages.named(spoken, parentheses=True))
        table.setdefault(key(spoken), languages.lang_named)
        table.setdefault(key(f"IPA-{code}"), compile_pattern("[[{1}]]"))
        table.setdefault(key(f"API-{code}"), compile_pattern("[[{1}]]"))
        table.setdefault(key(code), None)  # {{en}}: the little mark of a link's language
    return table


@cache
def _lower_case() -> dict[str, Rule | None]:
    return {name.lower(): rule for name, rule in rules().items()}


def find(name: str) -> tuple[bool, Rule | None]:
    """(known, rule) of a template by its key: by the table, by what the name says, by a prefix of boxes."""
    table = rules()
    if name in table:
        return True, table[name]
    if rule := centuries.by_name(name):
        return True, rule
    if places.known(name):
        return True, lambda arguments: places.country(name)
    lower = name.lower()
    if lower.startswith(UNKNOWN_VALUES):
        return True, lambda arguments: HOLE
    if lower.startswith(DROPPED_PREFIXES) or (name[-2:] == "-d" and len(name) < 40):
        return True, None
    if lower in _lower_case():
        return True, _lower_case()[lower]
    return False, None
