"""What the other texts say: dialogues, a diary, descriptions, explanations. The marks are those of tales.py."""

from __future__ import annotations

# -- dialogues, in the present; h and f are two named children, an animal and a person, … ----------------------------

GREETING = """
{h} {h rencontrer.p} {f} {:lieu}.
{b} sont {:lieu}, {:près}.
{:moment}, {b} jouent {:lieu le}.
{h} {h attendre.p} {f} {:près}.
{:moment}, {f} {f aller.p} {:vers} et {f rencontrer.p} {h}.
"""
HELLO = """
« Bonjour, {f.voc} ! Où {f.q aller.p} avec {:ce objet} ? » {h demander.p} {h}. / {GO}
« Bonjour, {f.voc} ! Que {f.q faire.p} {:lieu le} ? » {h demander.p} {h}. / {DO}
{h} {h dire.p} : « Bonjour, {f.voc} ! Est-ce que {f.tu vouloir.p} {f.tu @fun.n} ? » / {WANT}
« Salut, {f.voc} ! Que {f.q chercher.p} {:près} ? » {h demander.p} {h}. / {SEEK}
« Bonjour, {f.voc} ! Comment {f|vas-tu|allez-vous} {:moment} ? » {h demander.p} {h}. / {FEEL}
"""
EXCHANGE = """
« Est-ce que {f.tu aimer.p} {f.tu @fun.n} ? » {h demander.p} {h}. / {LIKE}
« {f|As-tu|Avez-vous} vu {:le animal} {:lieu} ? » {h demander.p} {h}. / {SEEN}
« Qui a pris {:le objet} de {:la personne} ? » {h demander.p} {h}. / {WHO}
« Pourquoi est-ce que {f.tu porter.p} {:un objet} ? » {h demander.p} {h}. / {WHY}
« {f|Veux-tu|Voulez-vous} {f.tu @fun.n} avec {h|moi|nous} {:demain} ? » {h demander.p} {h}. / {WANT}
{h} {h demander.p} : « Où est {:chose de} ? » / {WHERE}
« Combien de {:pommes} {f.q avoir.p} dans {:ce contenant} ? » {h demander.p} {h}. / {COUNT}
« Qu'est-ce que {f.tu faire.c} {:récemment} ? » {h demander.p} {h}. / {DONE}
"""
# What answers a question above, by the name in capitals.
ANSWERS = {
    "GO": """
« {f.je aller.p} {:vers}, parce que {f.je vouloir.p} {f.je @fun.n} », {f répondre.p} {f}.
« {f.je aller.p} {:vers} avec {:la personne} », {f répondre.p} {f}.
{f} {f répondre.p} : « {f.je aller.p} {:vers}, car {f.je devoir.p} {f.je @work.n}. »
""",
    "DO": """
« {f.je devoir.p} {f.je @work.n}, puis {f.je vouloir.p} {f.je @fun.n} », {f répondre.p} {f}.
{f} {f répondre.p} : « {f.je être.p} {f=:mood}, car {f.je perdre.c} {f.mon o}. »
« {f.je attendre.p} {:la personne} et {f.je regarder.p} {:ciel} », {f répondre.p} {f}.
""",
    "WANT": """
« Oui, et {f.je aimer.p} aussi {f.je @fun.n} », {f répondre.p} {f}.
« Non, mais {f.je vouloir.p} {f.je @fun.n} avec {:la personne} », {f répondre.p} {f}.
{f} {f répondre.p} : « Oui, mais {f.je devoir.p} d'abord {f.je @work.n}. »
""",
    "SEEK": """
« {f.je chercher.p} {:un objet} pour {:la personne} », {f répondre.p} {f}.
« {f.je chercher.p} {f.mon o}, parce que {f.je vouloir.p} {f.je @work.n} », {f répondre.p} {f}.
{f} {f répondre.p} : « {f.je chercher.p} {:un animal} qui {:dort} {:lieu}. »
""",
    "FEEL": """
« {f.je aller.p} bien, mais {f.je avoir.p} faim. {f.je vouloir.p} {:aliment} », {f répondre.p} {f}.
« {f.je être.p} {:très} {f=:joy}, car {f.je trouver.c} {:un objet} », {f répondre.p} {f}.
{f} {f répondre.p} : « {f.je aller.p} bien, parce que {:la personne} est {:lieu le}. »
""",
    "LIKE": """
« Oui, et {f.je aimer.p} aussi {f.je @fun.n} », {f répondre.p} {f}.
« Non, mais {f.je aimer.p} beaucoup {f.je @fun.n} », {f répondre.p} {f}.
""",
    "SEEN": """
« Non, mais {:récemment}, {f.je voir.c} {:un animal} {:lieu} », {f répondre.p} {f}.
« Oui, {:récemment}, {f.je voir.c} {:un animal} {:près} », {f répondre.p} {f}.
""",
    "WHO": """
« C'est {:la personne}, qui est {:lieu le} », {f répondre.p} {f}.
« Je ne sais pas, mais {f.je voir.c} {:un animal} {:près} », {f répondre.p} {f}.
""",
    "WHY": """
« Parce que {f.je vouloir.p} {f.je @work.n} », {f répondre.p} {f}.
« C'est un cadeau de {:la personne} et de {:la personne} », {f répondre.p} {f}.
""",
    "WHERE": """
« Je ne sais pas, mais {:la personne} est {:lieu le} », {f répondre.p} {f}.
{f} {f répondre.p} : « Je crois que {:la personne} a caché {:ce objet} {:près}. »
""",
    "COUNT": """
{f} {f répondre.p} : « {f.je avoir.p} {:ingrédients} et {:aliment}. »
« {f.je avoir.p !pas} de {:pommes}, mais {f.je avoir.p} {:ingrédients} », {f répondre.p} {f}.
""",
    "DONE": """
« {f.je @work.c}, puis {f.je @fun.c} », {f répondre.p} {f}.
« {f.je @fun.c} avec {:la personne} », {f répondre.p} {f}.
{f} {f répondre.p} : « {f.je perdre.c} {:un objet} {:lieu}. »
""",
}
PROPOSAL = """
{h} {h dire.p} : « {f|Regarde|Regardez} {:un animal} ! Nous allons {@fun}. »
« {f|Viens|Venez} avec {h|moi|nous} ! Il y a {:des objets} {:lieu le} », {h dire.p} {h}.
« Il faut {@work} avant {:ciel} », {h dire.p} {h}.
« {f|Donne|Donnez}-{h|moi|nous} {:un objet}, et {h.je aller.p} {h.je @work.n} », {h dire.p} {h}.
« {f|Prends|Prenez} {:aliment} et {f|bois|buvez} {:boisson} ! » {h dire.p} {h}.
« {h.je pouvoir.p} {f|te|vous} donner {:un objet} », {h dire.p} {h}.
« N'{f|oublie|oubliez} pas {:le objet} ! {h.je aller.p} {:vers} », {h dire.p} {h}.
"""
AGREEMENT = """
« Merci, {h.voc} ! {h.tu être.p} {:très} {h=:trait} », {f dire.p} {f}.
« Quelle bonne idée ! {f.je prendre.p} {:un objet} et {f.je venir.p} », {f répondre.p} {f}.
{f} {f dire.p} : « D'accord, mais {f.je avoir.p} peur de {:le animal}. »
« Bien sûr ! {f.je être.p} {:très} {f=:joy} », {f répondre.p} {f}.
« Non, merci, {h.voc} ! {f.je préférer.p} {f.je @fun.n} », {f répondre.p} {f}.
"""
PARTING = """
{b} {b partir.p} {:vers} et {b manger.p} {:aliment} en chemin.
Alors {h} {h prendre.p} {:un objet}, et {b.il} {b@fun.p} ensemble.
{f} {f sourire.p}, et {h} {f.dat} {h donner.p} {:un objet}.
« À demain, {f.voc} ! {h.je aller.p} {h.je @fun.n} », {h dire.p} {h}.
{:le soir}, {b} {b rentrer.p} {:vers} en {:gérondif}.
{b} {b être.p} {:très} {b=:joy} et {b@fun.p}.
"""

# -- the market ------------------------------------------------------------------------------------------------------

MARKET = """
{:moment}, {h} {h aller.p} au marché avec {:un contenant}.
{h} {h vouloir.p} {h@trip.n}, mais d'abord {h.il} {h aller.p} chez {v}.
{h} {h entrer.p} dans la boutique avec {:la personne} et {:un contenant}.
"""
BUYING = """
« Bonjour ! Avez-vous {:aliment} ? » {h demander.p} {h}.
« Bonjour ! {h.je vouloir.k} {:aliment} et {:boisson} », {h dire.p} {h} à {v}.
{h} {h dire.p} à {v} : « Bonjour ! {h.je chercher.p} {:un objet} pour {:la personne}. »
"""
SELLING = """
« Oui, j'ai aussi {:aliment} et {:boisson} », {v répondre.p} {v}.
« Non, je n'ai pas de {:pommes}, mais j'ai {:aliment} », {v répondre.p} {v}.
{v} {v montrer.p} {:des objets} à {h} et {h.dat} {v vendre.p} {:aliment}.
« Voici {:ingrédients} et {:ingrédients}. C'est pour {:la personne} ? » {v demander.p} {v}.
"""
PRICE = """
« Combien coûte {o.ce} ? » {h demander.p} {h}. / « {o.ce} coûte {:nombre} pièces », {v répondre.p} {v}.
« Combien coûte {o.ce} ? » {h demander.p} {h}. / {v} {v répondre.p} : « {o.ce} coûte {:nombre} pièces. »
"""
PAYING = """
{h} {h trouver.p} que {o.ce} est trop {o=:thing}, mais {h.il} {h acheter.p} {:un objet}.
{h} {h payer.p} {:nombre} pièces, puis {h.il} {h mettre.p} {:aliment} dans {:un contenant}.
{h} {h prendre.p} {o.le}, et {v} {h.dat} {v donner.p} aussi {:aliment}.
"""
GOODBYE = """
« Merci, {v.voc} ! {h.je aller.p} préparer {:aliment} », {h dire.p} {h}.
{h} {h remercier.p} {v} et {h repartir.p} {:vers} avec {:un objet}.
{:le soir}, {h} {h manger.p} {:aliment} avec {:la personne}.
« {h.je revenir.f} {:demain} pour acheter {:un objet} », {h dire.p} {h}.
"""

# -- a page of a diary, je, compound past ----------------------------------------------------------------------------

DAY = """
{:récemment}, {m.je aller.c} {:vers} avec {r}.
{:récemment}, {m.je se lever.c} tôt, car {m.je vouloir.i} {m.je @trip.n}.
{:récemment}, {r} {r venir.c} à la maison avec {:un objet}.
{:récemment}, {m.je rester.c} {:lieu le} avec {r}.
{:récemment}, {m.je partir.c} avec {r} pour {@trip}.
"""
WEATHER = """
Il faisait {:temps} et {:ciel faisait}.
Il pleuvait, alors {m.je prendre.c} {:un objet}.
{m.je être.i} {:très} {m=:mood}, parce que {:ciel faisait}.
{r} {r porter.i} {:un objet} et {:un objet}.
{m.je avoir.i} {:un contenant} avec {:aliment} et {:boisson}.
"""
EVENTS = """
{:lieu}, nous avons vu {:un animal} et {:des animaux}.
{m.je @work.c}, puis {m.je @fun.c}.
Ensuite, {r} {r @fun.c} et {r @fun.c}.
{r} {r tomber.c} {:près}, mais {r.il} {r repartir.c} {:vers}.
{m.je rencontrer.c} {:une personne} qui avait {:un objet}.
Puis {m.je trouver.c} {:un objet} {:près}, et {r} {r être.c} {:très} {r=:joy}.
{m.je perdre.c} {:un objet}, mais {r} {r chercher.c} {:près}.
{r} m'{r avoir.p} montré {:un objet} et {:des objets}.
Nous sommes {b+entrer} dans {:un lieu dans} pour voir {:des objets}.
{m.je avoir.c} peur, parce que {a.un} {a sortir.c} de {:le lieu}.
À midi, nous avons mangé {:aliment} et nous avons bu {:boisson}.
Nous avons marché {:vers} et nous avons visité {:un lieu}.
{r} {r aider.c} {:la personne} à {@work}.
"""
EVENING = """
{:le soir}, nous sommes {b+rentrer} {:vers} avec {:un objet}.
{:le soir}, {m.je @fun.c} et {m.je se coucher.c}.
{:demain}, {m.je @fun.f} avec {r}.
{m.je être.i} {m=:mood}, mais {m.je être.i} aussi {m=:joy}.
Je n'oublierai jamais {:ce objet} de {:la personne}.
Avant de dormir, {m.je écrire.c} une lettre à {:la personne}.
"""

# -- descriptions, in the present ------------------------------------------------------------------------------------

PORTRAIT = """
{a} est {:un être}.
{a.un} habite {:lieu} : c'est {a} de {:la personne}.
{:la personne} a {a.un} qui vit {:lieu}.
Voici {a} de {:la personne}.
{:lieu}, il y a {a.un}.
"""
BODY = """
{a.il} {a avoir.p} {:corps} et {:corps}.
{a.il} {a être.p} plus {a=:size} que {:le animal}, mais moins {a=:trait} que {:la personne}.
{a.il} {a avoir.p} {:corps}, et {a.il} {a être.p} {:très} {a=:trait}.
{a.il} {a être.p} aussi {a=:trait} que {:le animal}.
"""
LIFE = """
{:souvent}, {a} {a@rest.p}.
{a.il} {a manger.p} {:aliment} et {a boire.p} {:boisson}.
{a} {a aimer.p !pas} {a@fun.n}, mais {a.il} {a aimer.p} {:le animal}.
{:souvent}, {a.il} {a se promener.p} {:lieu} avec {:un animal}.
{a.il} {a dormir.p} souvent {:près} et {a se réveiller.p} {:moment}.
Quand il pleut, {a.il} {a se cacher.p} {:lieu}.
{a} {a avoir.p} peur de {:le animal} et de {:le animal}.
"""
FEELING = """
{:la personne} aime beaucoup {a}, car {a.il} {a être.p} {:très} {a=:trait}.
Tout le monde trouve que {a} {a être.p} {a=:trait}.
{:demain}, {a.il} {a aller.p} {a@trip.n} avec {:la personne}.
{a} {a être.p} {a=:mood} quand {:la personne} part {:vers}.
"""

PLACE = """
{l.where}, il y a {:un objet} et {:des objets}.
{l} de {:la personne} est {:très} {l=:place}.
{:la personne} habite {l.where_un}, {:près}.
{l.where}, on voit {:un objet} et {:des plantes}.
"""
THINGS = """
{:près}, il y a {:un objet} et {:un objet}.
Sur {:le objet}, on voit {:aliment} et {:des plantes}.
{p.un} est {p+poser} {:près}.
On entend {:un animal} qui {:dort} {:lieu}.
{:des plantes} poussent {:près}, et {:ciel brille}.
dans {:un contenant}, il y a {:aliment} et {:boisson}.
{:un animal} dort {:lieu}.
{:un animal} joue avec {:un objet} {:près}.
{:près}, {:une personne} regarde {:ciel}.
"""
PEOPLE = """
{:souvent}, {v} {v@work.p} {:lieu le}.
{v} {v être.p} {v=:mood}, parce que {v.il} {v avoir.p} {:un objet}.
{v} {v vouloir.p} {v@work.n}, mais {v.il} {v trouver.p !pas} {v.son o}.
{v} {v parler.p} avec {:la personne} et {v regarder.p} {:ciel}.
Que fait {v} ? {v.il} {v@work.p}.
Pourquoi {v} {v.inv porter.p} {:un objet} ? Parce que {v.il} {v vouloir.p} {v@work.n}.
Pourquoi {v} {v.inv rire.p} ? Parce que {v.il} {v aimer.p} {v@fun.n}.
{v} {v montrer.p} {:un objet} à {:une personne}.
"""

# -- explanations ----------------------------------------------------------------------------------------------------

RECIPE = """
Pour préparer {d.un}, il faut {:ingrédients}, {:ingrédients} et {:masse simple}.
Comment prépare-t-on {d.un} ? On prend {:ingrédients} et {:masse simple}.
{:la personne} veut préparer {d.un} avec {:ingrédients}.
"""
STEPS = """
{:d'abord}, on {:coupe} {:ingrédients} et on {:coupe} {:ingrédients}.
{:d'abord}, on mélange {:masse simple} avec {:ingrédients}.
{:d'abord}, on met {:ingrédients} dans {:un récipient}.
{:d'abord}, il faut {:verser} {:masse simple} et {:masse simple}.
{:d'abord}, on ajoute {:ingrédients} et un peu de {:sel}.
Attention, il ne faut pas {:verser} trop de {:sel} !
On peut aussi ajouter {:ingrédients}, si on aime {:le sucre}.
"""
TASTING = """
On mange {d.le} avec {:masse simple} ou avec {:ingrédients}.
Quand {d.le} est {d=:food}, on invite {:la personne} et {:la personne}.
{d.le} est {:très} {d=:food}, et {:la personne} a faim.
{d.le} est pour {:nombre} personnes, et {:la personne} apporte {:boisson}.
"""
TRADE = """
{v} est {v.someone} qui {v@trade.p} {l.where}.
Que fait {v} ? {:souvent}, {v.il} {v@trade.p}.
{v} {v se lever.p} tôt, parce que {v.il} {v devoir.p} {v@trade.n}.
{v} {v aimer.p} beaucoup {v@trade.n} avec {:la personne}.
{:souvent}, {v} {v@trade.p}, puis {v.il} {v@trade.p}.
{:la personne} aide {v} à {v@trade.n}.
"""
USE = """
{t.le} sert à {t.use}.
Pour {t.use}, {v} {v prendre.p} {t.un}.
Sans {t.le}, on ne peut pas {t.use}.
À quoi sert {t.le} ? On prend {t.ce} pour {t.use}.
Si {v} {v perdre.p} {v.son t}, {v.il} {v pouvoir.p !plus} {t.use}.
{v} {v apprendre.p} à {t.use} avec {:la personne}.
{v} {v avoir.p} besoin de {t.un} pour {t.use}.
{v} {v prêter.p} {v.son t} à {:la personne}, qui veut {t.use}.
"""
SEASON = """
{:saison}, {:la personne} et {:la personne} aiment {@fun}.
{:saison}, on voit {:des plantes} et {:des animaux} {:lieu}.
{:saison}, {:des animaux} dorment {:lieu}.
{:saison}, il fait {:temps} et {:ciel brille}.
{:saison}, on {:cueille} {:aliment} {:lieu le}.
{:saison}, {:ciel brille}, et {:la personne} porte {:un objet}.
"""
REASON = """
Pourquoi {a} {a.inv dormir.p} {:lieu le} ? Parce que {a.il} {a être.p} {a=:mood}.
Quand il neige, {a} {a se cacher.p} {:lieu} ou {:près}.
{a} {a chanter.p} quand {:ciel brille}, mais {a.il} {a se cacher.p} quand il pleut.
Pourquoi {a} {a.inv chanter.p} {:lieu} ? Parce que {a.il} {a aimer.p} {:ciel bruit}.
{a} {a chercher.p} {:aliment}, parce que {a.il} {a avoir.p} faim.
"""

SCENES = {
    "talk": "GREETING HELLO EXCHANGE PROPOSAL AGREEMENT PARTING",
    "questions": "GREETING HELLO EXCHANGE EXCHANGE PARTING",
    "market": "MARKET BUYING SELLING PRICE PAYING GOODBYE",
    "diary": "DAY WEATHER EVENTS EVENTS EVENTS EVENTS EVENING",
    "animal": "PORTRAIT BODY LIFE LIFE LIFE FEELING",
    "place": "PLACE THINGS THINGS PEOPLE THINGS PEOPLE",
    "recipe": "RECIPE STEPS STEPS STEPS TASTING",
    "trade": "TRADE TRADE USE USE PEOPLE TRADE",
    "season": "SEASON SEASON REASON SEASON REASON",
}

# -- what people do, and what things are for -------------------------------------------------------------------------

TRADES = {
    "boulanger boulangère": "préparer {:croissant}|vendre {:croissant}|mélanger {:masse simple} et {:masse simple}",
    "jardinier jardinière": "planter {:des plantes}|cueillir {:aliment}|couper {:des plantes}|ramasser {:des plantes}",
    "pêcheur": "attraper {:des poissons}|réparer {:barque}|vendre {:des poissons}|traverser {:eau}",
    "berger bergère": "nourrir {:des bêtes}|protéger {:des bêtes}|chercher {:des bêtes}|soigner {:des bêtes}",
    "fermier fermière": "nourrir {:des bêtes}|vendre {:aliment}|ramasser {:aliment}|soigner {:un animal}",
    "facteur": "apporter {:lettre} à {:la personne}|porter {:lettre}|chercher {:lettre}",
    "médecin infirmière": "soigner {:la personne}|soigner {:une personne}|écouter {:une personne}|aider {:la personne}",
    "marchand marchande": "vendre {:des objets}|acheter {:aliment}|montrer {:un objet} à {:la personne}",
    "cuisinier cuisinière": "préparer {:aliment}|goûter {:masse}|servir {:boisson} à {:la personne}",
    "peintre": "peindre {:un animal}|dessiner {:un lieu}|peindre {:un lieu}|regarder {:ciel}",
    "forgeron ouvrier ouvrière": "réparer {:un objet}|construire {:un contenant}|porter {:des objets}",
    "musicien musicienne": "jouer de {:instrument}|apprendre {:une chanson}|chanter {:une chanson}",
    "chanteuse": "chanter {:une chanson}|apprendre {:une chanson}|écouter {:ciel bruit}",
    "couturière": "couper {:habit}|réparer {:habit}|vendre {:habit}|laver {:habit}",
    "institutrice": "lire {:un livre}|raconter {:une histoire}|aider {:une personne}|apprendre {:une chanson}",
    "capitaine exploratrice": "traverser {:eau}|découvrir {:un lieu}|dessiner {:un lieu}|observer {:des animaux}",
    "magicien magicienne": "cacher {:un objet}|montrer {:un objet} à {:la personne}|chercher {:un objet}",
}

USES = {
    "couteau": "couper {:aliment}", "pelle": "planter {:des plantes}", "hache": "couper {:arbre}",
    "panier": "porter {:aliment}", "crayon": "dessiner {:un animal}", "cahier": "écrire {:une histoire}",
    "clé": "ouvrir {:à ouvrir}",
    "lampe": "voir {:un lieu} la nuit", "lanterne": "traverser {:le lieu} la nuit", "échelle": "cueillir {:aliment}",
    "corde": "tirer {:un objet}", "seau": "laver {:le objet}", "bouteille": "porter {:masse simple}",
    "tasse": "boire {:boisson}", "assiette": "manger {:aliment}", "barque": "traverser {:eau}",
    "charrette": "porter {:des objets}", "violon": "jouer {:une chanson}", "flûte": "jouer {:une chanson}",
    "guitare": "jouer {:une chanson}", "marteau": "réparer {:un objet}", "outil": "construire {:un contenant}",
    "coffre": "ranger {:des objets}", "valise": "ranger {:habit}", "balai": "nettoyer {:le lieu}",
    "lettre": "inviter {:la personne}", "plume": "écrire à {:la personne}",
    "photo": "montrer {:un lieu} à {:la personne}", "carte": "trouver {:le lieu}",
    "vélo": "aller {:vers}", "cloche": "appeler {:la personne}",
}  # fmt: skip
