"""What the tales say: the moves of each kind of text, and the sentences that can make each move.

A text is one line of each of its moves, in order (« / » in a line: a new line of the text); the other kinds of text are
in scenes.py. schemas.py gives the meaning of what stands in braces; in short:

{h} le renard · {h.un} · {h.il} · {h.lui} · {h.son o} sa clé · {h=triste} agreed · {h=:mood} any such adjective, agreed
{h partir.s} verb agreed, tense p present, i imperfect, s simple past, c compound past, q pluperfect, f future
{h partir.s !pas} negated · {h.je voir.c} with its pronoun · {h.inv dire.s} dit-il
{h@work.i} any such action · {h@work.n} or {@work} in the infinitive
{:lieu} any phrase of a pool · {h|ton|votre} by number · {h|a|b|c|d} by gender and number · {o+perdre} participle agreed
h hero, f friend, b both of them, o thing, p another thing, a another animal, v another person
"""

from __future__ import annotations

# -- actions: an infinitive and what follows it ----------------------------------------------------------------------

ACTIONS = {
    "work": """
ramasser {:des plantes}
cueillir {:des plantes}
réparer {:un objet}
chercher {:un objet}
chercher {:aliment}
laver {:le objet}
préparer {:aliment}
couper {:aliment}
planter {:des plantes}
porter {:un objet}
ranger {:des objets}
nourrir {:des animaux}
soigner {:un animal}
vendre {:des objets}
acheter {:aliment}
dessiner {:un animal}
peindre {:un objet}
construire {:un contenant}
travailler {:lieu le}
""",
    "fun": """
jouer {:lieu le}
danser {:près}
chanter {:lieu le}
se promener {:lieu le}
nager dans {:eau}
regarder {:ciel}
écouter {:ciel bruit}
lire {:un livre}
raconter {:une histoire}
courir {:lieu le}
dessiner {:un lieu}
se reposer {:près}
observer {:des animaux}
manger {:aliment}
boire {:boisson}
visiter {:le lieu}
rire avec {:la personne}
parler à {:la personne}
jouer avec {:un objet}
rendre visite à {:la personne}
""",
    "rest": """
dormir {:lieu}
se reposer {:lieu}
se cacher {:près}
attendre {:la personne}
pleurer {:près}
chanter {:lieu}
lire {:un livre}
manger {:aliment}
boire {:boisson}
jouer avec {:un objet}
regarder {:ciel}
ramasser {:des plantes}
chercher {:un objet}
s'amuser {:lieu}
""",
    "trip": """
visiter {:le lieu}
voir {:le lieu}
traverser {:le lieu}
découvrir {:un lieu}
aller {:vers}
""",
}

SAYS = ("dire", "répondre", "murmurer", "expliquer")

# -- tales -----------------------------------------------------------------------------------------------------------

OPENING = """
Il était une fois {h.un} qui {h vivre.i} {l.where_un}.
{:autrefois}, {h.un} {h habiter.i} {l.where_un}.
{:autrefois}, il y avait {h.un} {l.where_un}.
{l.where_un} {h vivre.i} {h.un}.
{h.un} {h vivre.i} {l.where}, {:près}.
"""
HABITS = """
{h} {h être.i} {:très} {h=:trait}, mais parfois {h=:grief}.
{h} {h être.i} {h=:trait trait}.
{:habitude}, {h.il} {h@work.i}.
{h.il} {h aimer.i} {h@fun.n} et {h@fun.n}.
{h} {h avoir.i} {:un objet} et {:des objets}.
{h} {h aimer.i} beaucoup {h@fun.n}.
{:habitude}, {h} {h@fun.i} avec {:la personne}.
Tout le monde aimait {h}, car {h.il} {h être.i} {h=:trait}.
"""
MEETING = """
En chemin, {h.il} {h rencontrer.s} {f.un}.
{q.where}, {h.il} {h voir.s} {f.un} qui {f@rest.i}.
{:soudain}, {f.un} {f arriver.s} {:près}.
{:près}, {f.un} {f@rest.i}.
{h} {h aller.s} {q.to} et {h rencontrer.s} {f.un}.
{h.il} {h traverser.s} {:le lieu} et {h trouver.s} {f.un}.
"""
OBSTACLE = """
Mais {:obstacle}, et {b.il} {b pouvoir.i !pas} passer.
Mais {:un animal} gardait {q.le}.
{:soudain}, {:un animal} sortit {q.out}.
Mais {:obstacle} et {:ciel froid}.
Malheureusement, {:obstacle}.
En chemin, {b} {b se perdre.s} {q.where}.
La nuit tomba et {b.il} {b avoir.s} peur de {:le animal}.
"""
HELP = """
{:soudain}, {f} {f avoir.s} une idée : {f.il} {f prendre.s} {:un objet}.
{f} {f connaître.i} un chemin {:près}.
Grâce à {f}, {b.il} {b traverser.s} {q.le} sans danger.
{f} {f chercher.s} {:un objet} et {f aider.s} {h} à {@trip}.
{:la personne} arriva et aida {h} à passer.
{f} {f parler.s} doucement à {:le animal}, et {f.il} {f réussir.s} à passer.
{h} {h monter.s} sur {:un objet} et {h appeler.s} {f}.
Alors {f} {f donner.s} {:aliment} à {:un animal}.
"""
THANKS = """
{h} {h remercier.s} {f} et {f.dat} {h offrir.s} {:un objet}.
« Merci, {f|mon ami|mon amie|mes amis|mes amies} ! {f.tu être.p} {:très} {f=:trait} », {h dire.s} {h}.
{h} {h embrasser.s} {f} et {f.dat} {h donner.s} {:aliment}.
« {f.tu être.p} {:très} {f=:trait}, et {h.je être.p} {:très} {h=:joy} », {h dire.s} {h}.
{h} {h être.i} {:très} {h=:joy} et {h remercier.s} {f}.
Pour remercier {f}, {h} {h préparer.s} {:aliment}.
"""
ENDING = """
{:le soir}, {b} {b manger.s} {:aliment} et {b boire.s} {:boisson}.
Depuis ce jour, {b} {b@fun.i} ensemble.
Depuis ce jour, {h} {h oublier.s !jamais} {f} et {:la personne}.
{h} {h rentrer.s} {l.to} et {h s'endormir.s} {:près}.
{:le soir}, {h} {h raconter.s} cette histoire à {:la personne}.
Ensuite, {b.il} {b rentrer.s} {l.to} en {:gérondif}.
Et {b.il} {b vivre.s} {b=heureux} {l.where}, {:près}.
Depuis ce jour, {h} {h être.s !plus} {h=:grief}, et {f} {f@fun.i} souvent.
"""

LOSING = """
{:un jour}, {h} {h perdre.s} {h.son o} {q.where}, {:près}.
{:un jour}, {h} {h trouver.s !plus} {h.son o}.
{:un jour}, {:un animal} vola {h.son o} et partit {q.to}.
{:un jour}, {h} {h oublier.s} {h.son o} {:près}.
{:un jour}, {h} {h se réveiller.s} et {h voir.s !pas} {h.son o}.
"""
SEARCHING = """
{h.il} {h chercher.s} {h.son o} {:près}, puis {q.where}.
{h.il} {h chercher.s} partout, mais {h.il} {h trouver.s !rien} {q.where}.
{h.il} {h être.i} {:très} {h=:mood}, parce que {h.il} {h aimer.i} beaucoup {h.son o}.
{h} {h pleurer.s} {:près} et {h appeler.s} {:la personne}.
« Où est {h.mon o} ? {h.je perdre.c} {h.mon o} {q.where} ! » {h dire.s} {h}.
{h} {h décider.s} de chercher {h.son o} {q.where}.
"""
ASKING = """
« {f|As-tu vu|Avez-vous vu} {h.mon o} ? » {f.dat} {h demander.s} {h}.
{h} {f.dat} {h demander.s} : « {f|As-tu|Avez-vous} trouvé {h.mon o} {q.where} ? »
« Pourquoi {h.q pleurer.p} ? » {f demander.s} {f}.
« Qui a pris {h.mon o} ? » {h.inv demander.s} à {f}.
{f} {h.dat} {f demander.s} : « Que {h.q chercher.p} {q.where} ? »
« {h.je chercher.p} {h.mon o}. {f|Peux-tu|Pouvez-vous} {h|m'|nous }aider ? » {h demander.s} {h}.
{h} {h expliquer.s} que {h.il} {h chercher.i} {h.son o}.
"""
TELLING = """
« {f.je voir.c} {h.ton o} {:près} », {f répondre.s} {f}.
« Je crois que {h.ton o} {o être.p} {q.where}, {:près} », {f répondre.s} {f}.
{f} {f répondre.s} : « {:un animal} a pris {h.ton o}. »
« {h|Viens|Venez} avec {f|moi|nous} ! {h.ton o} {o être.p} sans doute {q.where} », {f dire.s} {f}.
« Non, mais {f.je pouvoir.p} {h|t'|vous }aider à chercher {q.where} », {f répondre.s} {f}.
{f} {f accepter.s} d'aider {h}, et {b.il} {b partir.s} {q.to}.
"""
FINDING = """
{:enfin}, {h.il} {h trouver.s} {h.son o} {q.where}, {:près}.
{o.le} {o être.i} {o+cacher} dans {:un contenant}, {:près}.
{:près}, {h} {h voir.s} {o.le} sous {:un objet}.
{:soudain}, {f} {f crier.s} : « Regarde ! {o.le} est {:près} ! »
{:un animal} rendit {h.son o} à {h} et partit {:vers}.
{h} {h ouvrir.s} {:un contenant} et {h trouver.s} {o.le}.
"""

WISHING = """
{:un jour}, {h} {h décider.s} de {h@trip.n}.
{:un jour}, {h} {h vouloir.s} {h@trip.n} avec {:la personne}.
{h} {h rêver.i} de {h@trip.n}, mais {h.il} {h avoir.i} peur de {:le animal}.
{:un jour}, {:la personne} dit à {h} : « Il faut {@trip} ! »
{:un jour}, {h} {h recevoir.s} une lettre de {:la personne}.
"""
LEAVING = """
{h.il} {h prendre.s} {:un objet} et {:aliment}, puis {h.il} {h partir.s} {q.to}.
{h} {h mettre.s} {:aliment} dans {:un contenant} et {h quitter.s} {l.le}.
{h.il} {h traverser.s} {:le lieu} et {h arriver.s} {q.where}.
{h} {h marcher.s} longtemps, puis {h.il} {h s'arrêter.s} {:près}.
{h.il} {h sortir.s} {:matin} et {h marcher.s} {q.to}.
"""
JOINING = """
« Où {h.q aller.p} avec {:ce objet} ? » {f demander.s} {f}.
« {h.je vouloir.p} {h.je @trip.n}. {f|Viens|Venez} avec {h|moi|nous} ! » {h dire.s} {h}.
{f} {h.dat} {f demander.s} : « {h|Veux-tu|Voulez-vous} {h.tu @fun.n} avec {f|moi|nous} ? »
« {f.je connaître.p} {:le lieu}. {f.je pouvoir.p} {h|t'|vous }aider », {f dire.s} {f}.
« Qui habite {q.where} ? » {h.inv demander.s} à {f} {:doucement}.
{f} {f aimer.i} aussi {f@trip.n}, et {b.il} {b partir.s} ensemble {q.to}.
« {h|Prends|Prenez} {:ce objet} et {h|regarde|regardez} bien le chemin », {f dire.s} {f}.
"""
ARRIVING = """
{:enfin}, {b} {b arriver.s} {q.where} et {b voir.s} {:un lieu}.
{:enfin}, {b.il} {b découvrir.s} {:un lieu} et {:des animaux}.
{q.where}, {:la personne} {b.dat} donna {:aliment} et {:boisson}.
{b} {b admirer.s} {q.le} et {b s'asseoir.s} {:près}.
« Que c'est beau ! {h.je voir.p} {:un lieu} », {h dire.s} {h}.
"""

SADNESS = """
{f} {f être.i} {f=:grief}, parce que {f.il} {f perdre.q} {f.son o}.
{f} {f pleurer.i} {:près}, car {f.son o} {o être.i} {o+casser}.
« Pourquoi {f.q être.p} {f=triste} ? » {h demander.s} {h} {:doucement}.
{f} {f avoir.i} faim et {f rêver.i} de {:un aliment}.
{h} {f.dat} {h demander.s} : « {f|As-tu|Avez-vous} peur de {:le animal} ? »
« {f.je avoir.p} froid et {f.je avoir.p !pas} de {:vêtement} », {f dire.s} {f}.
"""
KINDNESS = """
{h} {f.dat} {h donner.s} {:aliment} et {:boisson}.
{h} {h réparer.s} {o.le} avec {:un objet} et {:un objet}.
« {f|Ne pleure pas|Ne pleurez pas} ! {h.je aller.p} {f|t'|vous }aider », {h dire.s} {h}.
{h} {h inviter.s} {f} à {@fun}.
{h} {h prêter.s} {:un objet} à {f} et {h préparer.s} {:aliment}.
{h.il} {f.dat} {h raconter.s} {:une histoire}, et {f} {f sourire.s} {:doucement}.
"""
REWARD = """
Pour remercier {h}, {f} {h.dat} {f offrir.s} {:un objet}.
{:le lendemain}, {f} {f apporter.s} {:un objet} à {h}.
« {h.tu être.p} {:très} {h=:trait}. Voici {:un objet} ! » {f dire.s} {f}.
{f} {f être.i} enfin {f=:joy} et {f donner.s} {:aliment} à {h}.
« {h|Prends|Prenez} {:ce objet} », {f dire.s} {f} à {h}.
"""
LESSON = """
{h} {h comprendre.s} que {f} {f être.i} {:très} {f=:trait}.
Ainsi, {b} devinrent {b|ami|amie|amis|amies}, et {b.il} {b@fun.s}.
{f} {f dire.s} : « {f.je aimer.p} beaucoup {f.je @fun.n} avec {h|toi|vous}. »
Depuis ce jour, {h} {h aider.i} toujours {:la personne} et {:la personne}.
{h} {h promettre.s} à {f} de {h@fun.n}.
Alors {b.il} {b se mettre.s} à {@fun}.
"""

# -- which moves make a tale, in order; several names: one of them ---------------------------------------------------

TALES = {
    "lost": "OPENING HABITS LOSING SEARCHING MEETING ASKING TELLING OBSTACLE HELP FINDING THANKS ENDING",
    "journey": "OPENING HABITS WISHING LEAVING MEETING JOINING OBSTACLE HELP ARRIVING THANKS ENDING",
    "kindness": "OPENING HABITS LEAVING MEETING SADNESS KINDNESS REWARD LESSON ENDING",
}
