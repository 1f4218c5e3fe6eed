"""The French words that the built-in corpus is written with: nouns, adjectives, verbs, names, adverbs.

Tables only; morphology.py inflects them and puts them together. A word stands here once, under one class, so that
a small model can learn the class from a few hundred uses.
"""

from __future__ import annotations

from dataclasses import dataclass

M, F = "m", "f"
SINGULAR, PLURAL = "s", "p"


def words(text: str) -> tuple[str, ...]:
    """The words of a text: how the tables of this grammar are written."""
    return tuple(text.split())


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun: its two forms, its gender, its kind ("animal", "object", …); `aspirated` is the h of « le hibou »."""

    singular: str
    plural: str
    gender: str
    kind: str
    aspirated: bool = False

    def form(self, number: str) -> str:
        return self.singular if number == SINGULAR else self.plural


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective: its four forms, whether it precedes the noun, what it can describe, and « bel, vieil, nouvel »."""

    ms: str
    fs: str
    mp: str
    fp: str
    before: bool
    kind: str
    before_vowel: str | None = None

    def form(self, gender: str, number: str) -> str:
        if number == SINGULAR:
            return self.ms if gender == M else self.fs
        return self.mp if gender == M else self.fp


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: infinitive without its pronoun, auxiliary ("avoir" or "être"), what it governs, whether it is pronominal.

    `frames` holds what may follow: i nothing, t an object, l a place, à / de a noun after that preposition,
    tà an object and a person, inf / àinf / deinf an infinitive, que a clause, cop an attribute, dire direct speech.
    """

    infinitive: str
    frames: frozenset[str]
    auxiliary: str = "avoir"
    reflexive: bool = False


# -- nouns: kind, gender, words; a plural that the rule does not give follows after a slash --------------------------

_NOUNS = """
animal m: renard loup chat chien lapin âne cheval mouton canard hérisson hibou écureuil corbeau oiseau poisson coq lion
animal m: tigre éléphant singe cochon agneau escargot papillon cygne pigeon castor blaireau aigle ours crabe moineau
animal f: souris tortue grenouille poule vache chèvre fourmi abeille oie chouette mouette girafe brebis biche cigale
animal f: baleine araignée pie ânesse jument marmotte belette loutre
person m: homme garçon roi prince boulanger jardinier pêcheur berger facteur médecin meunier marchand pirate fermier
person m: cuisinier peintre forgeron soldat géant voleur musicien magicien chasseur enfant vieillard capitaine ouvrier
person f: femme fillette reine princesse boulangère jardinière bergère sorcière fée fermière cuisinière marchande dame
person f: infirmière couturière danseuse chanteuse institutrice magicienne musicienne exploratrice ouvrière géante
family m: père frère oncle cousin grand-père/grands-pères ami voisin fils camarade compagnon
family f: mère sœur tante cousine grand-mère/grands-mères amie voisine fille compagne nièce
object m: ballon livre chapeau panier manteau sac vélo couteau marteau miroir parapluie cadeau jouet crayon cahier
object m: anneau collier coffre tambour violon foulard bonnet gant seau balai drapeau ruban bâton outil bijou tapis
object m: instrument tableau oreiller habit vase
object f: clé lampe lettre bague montre poupée flûte boîte corde couronne carte épée échelle bougie chaise valise
object f: cloche robe chaussure écharpe guitare pelle hache plume tasse assiette bouteille couverture lanterne bourse
object f: barque charrette photo balle pièce ombrelle horloge enveloppe
room m: jardin bois château village grenier moulin champ parc atelier salon hôtel palais verger couloir
room f: forêt maison grotte école cuisine cave ferme prairie vallée hutte cabane tour ville étable boutique
room f: bibliothèque auberge église chambre cour clairière
ground m: pont chemin marché quai sentier toit rivage
ground f: plage colline montagne île place route terrasse
water m: lac étang fleuve ruisseau canal océan
water f: rivière mer source mare
landmark m: arbre chêne sapin mur puits buisson rocher banc escalier pommier olivier
landmark f: porte fenêtre fontaine haie statue barrière cheminée
mass m: pain fromage miel beurre riz sucre sel chocolat
mass f: soupe confiture farine salade viande huile crème
drink m: lait thé café sirop
drink f: eau limonade tisane
food m: gâteau œuf biscuit champignon abricot raisin haricot melon citron bonbon croissant oignon
food f: pomme poire cerise fraise orange carotte noix noisette tarte crêpe galette tomate prune olive
plant m: coquelicot tournesol lilas muguet blé
plant f: fleur rose herbe feuille tulipe violette branche
sky m: soleil vent nuage orage arc-en-ciel/arcs-en-ciel brouillard
sky f: lune étoile pluie neige lumière ombre
body m: nez bec œil/yeux dos pied museau
body f: tête patte queue oreille main aile bouche voix
idea m: secret rêve voyage jeu conseil problème travail message spectacle chant trésor projet mot
idea f: histoire chanson question réponse idée surprise promenade fête leçon aventure danse chose erreur
being m: animal/animaux monde pays
being f: bête personne
vessel m: bol saladier plat pot
vessel f: casserole marmite
time m: matin soir jour hiver printemps été automne instant mois
time f: nuit heure semaine année saison
"""
_ASPIRATED = frozenset(words("hérisson hibou hache hutte haie haricot haut hautes haute hauts"))
_PLURALS = {"bijou": "bijoux", "hibou": "hiboux", "cheval": "chevaux", "canal": "canaux"}

# -- adjectives: ms [fs [mp]] ; forms that the rules give are left out; "bel" etc. after a slash ---------------------

_ADJECTIVES = """
size before: petit grand gros,grosse joli
look before: beau/bel,belle,beaux vieux/vieil,vieille,vieux nouveau/nouvel,nouvelle,nouveaux
look before: jeune bon,bonne mauvais long,longue haut
color after: rouge bleu vert jaune blanc,blanche noir gris brun doré rose violet,violette argenté
fur after: roux,rousse tacheté
thing after: étrange rond carré léger,légère lourd solide fragile propre sale neuf,neuve magique précieux,précieuse
thing after: brillant
thing after: ancien,ancienne énorme minuscule ordinaire simple rare utile pointu épais,épaisse cassé mouillé usé
place after: tranquille calme sombre profond étroit large désert lointain immense mystérieux,mystérieuse
place after: silencieux,silencieuse
food after: chaud froid doux,douce dur sec,sèche sucré salé délicieux,délicieuse frais,fraîche mûr tiède
trait after: gentil,gentille courageux,courageuse curieux,curieuse malin,maligne rusé sage timide patient
trait after: paresseux,paresseuse généreux,généreuse fidèle poli bavard prudent honnête adroit intelligent aimable
mood after: triste content heureux,heureuse malheureux,malheureuse fatigué inquiet,inquiète fâché surpris fier,fière
mood after: seul perdu malade furieux,furieuse joyeux,joyeuse ravi étonné déçu prêt impatient affamé
"""

# -- verbs: infinitive:frames; "s'" or "se" before a pronominal verb; "+" marks the auxiliary être -------------------

_VERBS = """
marcher:i,l chanter:i,t danser:i,l jouer:i,l,de,t nager:i,l voler:i,t rêver:i,de,deinf pleurer:i dormir:i,l rire:i
courir:i,l sauter:i,l crier:i,dire travailler:i,l trembler:i voyager:i,l sourire:i,à attendre:i,t manger:i,t boire:i,t
chercher:t,i trouver:t,que perdre:t prendre:t porter:t regarder:t,i écouter:t,i voir:t,que cacher:t garder:t laver:t
réparer:t ramasser:t casser:t ouvrir:t fermer:t acheter:t préparer:t couper:t cueillir:t lire:t,i écrire:t,tà,à
dessiner:t,i peindre:t goûter:t partager:t remplir:t vider:t poser:t attraper:t suivre:t appeler:t aider:t,tàinf
inviter:t,tàinf remercier:t saluer:t admirer:t visiter:t traverser:t quitter:t connaître:t aimer:t,inf adorer:t,inf
détester:t,inf préférer:t,inf rencontrer:t protéger:t nourrir:t construire:t ranger:t choisir:t mélanger:t verser:t,tà
ajouter:t cuire:i servir:t,àinf recevoir:t entendre:t faire:t avoir:t emporter:t découvrir:t observer:t embrasser:t
mettre:t tenir:t jeter:t tirer:t passer:i,l,t pousser:t,i planter:t soigner:t payer:t coûter:t nettoyer:t briller:i
souffler:i gronder:i donner:t,tà montrer:t,tà offrir:t,tà prêter:t,tà apporter:t,tà rendre:t,tà raconter:t,tà
vendre:t,tà promettre:t,tà,deinf,àdeinf parler:i,à,de ressembler:à obéir:à appartenir:à plaire:à répondre:à,dire,i
demander:t,tà,dire,àdeinf dire:dire,que,t,tà,àdeinf murmurer:dire expliquer:t,dire,que vouloir:inf,t pouvoir:inf
devoir:inf savoir:inf,que,i falloir:inf,t commencer:àinf,t apprendre:àinf,t,tàinf réussir:àinf hésiter:àinf,i
continuer:àinf,i décider:deinf essayer:deinf oublier:deinf,t finir:deinf,t,i refuser:deinf,t accepter:deinf,t
comprendre:que,t penser:que,à croire:que espérer:que,inf habiter:l vivre:i,l,cop être:cop,l sembler:cop +aller:l,inf
+venir:i,l,inf +arriver:i,l +partir:i,l +entrer:i,l +sortir:i,l +rester:cop,l,i +tomber:i,l +monter:i,l +descendre:i,l
+rentrer:i,l +revenir:i,l +retourner:l +naître:i,l +devenir:cop +repartir:i,l +se:promener:i,l +se:coucher:i,l
+se:réveiller:i +se:reposer:i,l +se:cacher:i,l +se:laver:i +s':arrêter:i,l +s':approcher:de +s':endormir:i,l
+se:lever:i +se:dépêcher:i +s':amuser:i,l +se:moquer:de +se:souvenir:de +se:baigner:i,l +s':installer:l
+s':appeler:nom +se:mettre:àinf +s':asseoir:i,l +s':enfuir:i,l +se:réchauffer:i,l +se:perdre:i,l
"""

MALE_NAMES = words("Paul Martin Léo Jules Antoine Omar Lucas Arthur Karim Victor Émile Simon Noé Bruno Théo")
FEMALE_NAMES = words("Marie Emma Alice Zoé Inès Louise Jeanne Nina Clara Élise Fatou Sophie Camille Yasmine Anna")

NUMBERS = words("deux trois quatre cinq six sept huit neuf dix douze vingt cent")

MANNER_ADVERBS = words(
    """
    lentement doucement vite rapidement gaiement tristement prudemment calmement bien longtemps tranquillement
    courageusement poliment joyeusement silencieusement ensemble beaucoup encore
    """
)
DEGREE_ADVERBS = words("très trop si plutôt assez vraiment")
FREQUENCY_ADVERBS = words("souvent toujours parfois rarement")

# Adverbials that open a sentence (with a comma) or close a clause, by the tenses that they go with.
PAST_OPENERS = (
    "un jour", "un matin", "un soir", "ce jour-là", "ce matin-là", "ce soir-là", "le lendemain", "une nuit",
    "un jour d'été", "un soir d'hiver", "un matin de printemps", "un matin d'automne", "une nuit d'hiver",
    "un beau matin", "quelques jours plus tard", "un peu plus tard",
)  # fmt: skip
TALE_OPENERS = ("autrefois", "il y a longtemps", "il y a bien longtemps", "jadis", "en ce temps-là")
SUDDEN_OPENERS = ("soudain", "tout à coup", "à ce moment-là", "peu après", "alors", "aussitôt", "enfin", "à la fin")
HABIT_OPENERS = (
    "chaque matin", "chaque soir", "chaque jour", "chaque nuit", "tous les matins", "tous les soirs", "le matin",
    "le soir", "la nuit", "le dimanche", "en hiver", "en été", "en automne", "au printemps",
    "quand il pleut", "quand il neige",
)  # fmt: skip
RECENT_OPENERS = (
    "hier", "hier matin", "hier soir", "ce matin", "samedi", "dimanche", "lundi", "cette semaine", "cet après-midi",
)  # fmt: skip
NEXT_OPENERS = ("demain", "demain matin", "ce soir", "dimanche prochain", "la semaine prochaine", "bientôt")
SEQUENCE_OPENERS = ("d'abord", "ensuite", "puis", "après", "enfin", "pour finir", "le soir", "à midi")

# Adjectives that suit a kind of noun (masculine singular), where the adjective's own kind says too much.
SUITABLE = {
    kind: words(suited)
    for kind, suited in {
        "animal": "noir blanc gris brun roux tacheté doré rusé sage timide paresseux prudent curieux",
        "room": "tranquille calme sombre immense désert silencieux mystérieux lointain froid ancien",
        "ground": "étroit tranquille désert lointain immense silencieux calme étrange",
        "water": "profond calme tranquille froid immense lointain sombre bleu",
        "landmark": "solide sombre immense ancien étrange blanc",
        "food": "mûr sucré délicieux frais rouge vert sec énorme",
        "mass": "chaud froid frais délicieux sucré salé",
        "drink": "chaud froid frais tiède sucré délicieux",
        "plant": "rouge bleu jaune blanc violet rose minuscule frais",
        "body": "noir brun gris blanc rond étrange doré",
        "vessel": "rond profond propre solide neuf ancien blanc bleu",
        "idea": "étrange simple rare utile mystérieux magique",
        "joy": "content heureux fier joyeux ravi étonné surpris",
        "grief": "triste malheureux fatigué inquiet fâché seul perdu malade déçu affamé",
        "size": "petit grand gros joli vieux jeune léger lourd",
    }.items()
}


def plural_of(word: str) -> str:
    """The regular plural of a French noun or masculine adjective."""
    if word in _PLURALS:
        return _PLURALS[word]
    if word[-1] in "sxz":
        return word
    if word.endswith(("eau", "eu")) and word != "bleu":
        return word + "x"
    return word + "s"


def _read_nouns() -> tuple[Noun, ...]:
    nouns = []
    for line in _NOUNS.strip().splitlines():
        head, table = line.split(": ")
        kind, gender = head.split()
        for word in table.split():
            singular, _, plural = word.partition("/")
            nouns.append(Noun(singular, plural or plural_of(singular), gender, kind, singular in _ASPIRATED))
    return tuple(nouns)


def _read_adjectives() -> tuple[Adjective, ...]:
    adjectives = []
    for line in _ADJECTIVES.strip().splitlines():
        head, table = line.split(": ")
        kind, position = head.split()
        for word in table.split():
            masculine, *rest = word.split(",")
            masculine, _, before_vowel = masculine.partition("/")
            feminine = rest[0] if rest else masculine if masculine.endswith("e") else masculine + "e"
            plural = rest[1] if len(rest) > 1 else plural_of(masculine)
            before = position == "before"
            adjectives.append(
                Adjective(masculine, feminine, plural, plural_of(feminine), before, kind, before_vowel or None)
            )
    return tuple(adjectives)


def _read_verbs() -> tuple[Verb, ...]:
    verbs = []
    for entry in _VERBS.split():
        auxiliary = "être" if entry[0] == "+" else "avoir"
        *pronoun, infinitive, frames = entry.lstrip("+").split(":")
        verbs.append(Verb(infinitive, frozenset(frames.split(",")), auxiliary, bool(pronoun)))
    return tuple(verbs)


NOUNS: tuple[Noun, ...] = _read_nouns()
ADJECTIVES: tuple[Adjective, ...] = _read_adjectives()
VERBS: tuple[Verb, ...] = _read_verbs()

_NOUN = {noun.singular: noun for noun in NOUNS}
_ADJECTIVE = {adjective.ms: adjective for adjective in ADJECTIVES}
_VERB = {(verb.infinitive, verb.reflexive): verb for verb in VERBS}


def noun(lemma: str) -> Noun:
    """The noun with this singular; KeyError if the lexicon has none."""
    return _NOUN[lemma]


def adjective(lemma: str) -> Adjective:
    """The adjective with this masculine singular; KeyError if the lexicon has none."""
    return _ADJECTIVE[lemma]


def verb(infinitive: str) -> Verb:
    """The verb: « manger », « se promener », « s'arrêter »; KeyError if the lexicon has none."""
    for pronoun in ("se ", "s'"):
        if infinitive.startswith(pronoun):
            return _VERB[infinitive.removeprefix(pronoun), True]
    return _VERB[infinitive, False]


def nouns(*kinds: str, gender: str | None = None) -> tuple[Noun, ...]:
    """All nouns of these kinds, in the order of the table."""
    return tuple(n for n in NOUNS if n.kind in kinds and gender in (None, n.gender))


def adjectives(*kinds: str) -> tuple[Adjective, ...]:
    """All adjectives of these kinds, in the order of the table."""
    return tuple(a for a in ADJECTIVES if a.kind in kinds)


def suitable(kind: str) -> tuple[Adjective, ...]:
    """The adjectives that suit nouns of this kind."""
    if kind not in SUITABLE:
        return adjectives("color", "thing") if kind == "object" else adjectives("trait")
    return tuple(_ADJECTIVE[word] for word in SUITABLE[kind])


def verbs(frame: str) -> tuple[Verb, ...]:
    """All verbs that can govern this frame, in the order of the table."""
    return tuple(v for v in VERBS if frame in v.frames)
