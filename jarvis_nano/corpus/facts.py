"""What Jarvis knows: capitals, opposites, colours, days, months, legs, cries, young ones, measures, kinds of things.

A Relation is a table, the ways to ask for its rows and the ways to tell them; the first way to tell is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .wording import fill


@dataclass(frozen=True)
class Relation:
    """`rows` are (subject, answer). Templates use {x} the subject, {y} the answer, {le} {de} {un} its forms."""

    name: str
    rows: tuple[tuple[str, str], ...]
    questions: tuple[str, ...]
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """One row of one relation."""

    relation: Relation
    subject: str
    answer: str

    def fill(self, template: str) -> str:
        """The template about this fact, with a capital at its head."""
        return fill(template, x=self.subject, y=self.answer, **noun_phrases(self.subject))

    @property
    def statement(self) -> str:
        return self.fill(self.relation.statements[0])


def noun_phrases(subject: str) -> dict[str, str]:
    """The forms of "la neige", "l'araignée f", "le chat", "les Pays-Bas": {le}, {de} (contracted), {un}.

    After an elided article a final " m" or " f" gives the gender; a subject without an article stays as it is.
    """
    bare, gender = (subject[:-2], subject[-1]) if subject[-2:] in (" m", " f") else (subject, "")
    if bare.startswith("l'"):
        return {"le": bare, "de": "de " + bare, "un": ("une " if gender == "f" else "un ") + bare[2:]}
    article, _, noun = bare.partition(" ")
    if article == "le":
        return {"le": bare, "de": "du " + noun, "un": "un " + noun}
    if article == "les":
        return {"le": bare, "de": "des " + noun, "un": "des " + noun}
    if article == "la":
        return {"le": bare, "de": "de " + bare, "un": "une " + noun}
    return {"le": bare, "de": "de " + bare, "un": bare}


def rows(text: str) -> tuple[tuple[str, str], ...]:
    """A table written as "subject: answer; subject: answer"."""
    pairs = [entry.split(":") for entry in text.replace("\n", " ").split(";") if entry.strip()]
    return tuple((" ".join(subject.split()), " ".join(answer.split())) for subject, answer in pairs)


def following(names: str) -> tuple[tuple[str, str], ...]:
    """A circle of names as (name, the next one)."""
    circle = names.split()
    return tuple(zip(circle, circle[1:] + circle[:1], strict=True))


DAYS = "lundi mardi mercredi jeudi vendredi samedi dimanche"
MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"

CAPITAL = Relation(
    "capital",
    rows(
        """
        la France: Paris; l'Espagne: Madrid; le Portugal: Lisbonne; l'Italie: Rome; l'Allemagne: Berlin; la
        Belgique: Bruxelles; la Suisse: Berne; l'Angleterre: Londres; l'Irlande: Dublin; les Pays-Bas: Amsterdam; le
        Danemark: Copenhague; la Suède: Stockholm; la Norvège: Oslo; la Finlande: Helsinki; la Pologne: Varsovie;
        l'Autriche: Vienne; la Hongrie: Budapest; la Grèce: Athènes; la Roumanie: Bucarest; la Russie: Moscou; la
        Turquie: Ankara; l'Égypte: Le Caire; le Maroc: Rabat; l'Algérie: Alger; la Tunisie: Tunis; le Sénégal:
        Dakar; la Chine: Pékin; le Japon: Tokyo; le Canada: Ottawa; le Brésil: Brasilia; le Mexique: Mexico; le
        Pérou: Lima
        """
    ),
    (
        "Quelle est la capitale {de} ?",
        "Dis-moi la capitale {de}.",
        "Donne-moi la capitale {de}.",
        "Comment s'appelle la capitale {de} ?",
        "Quelle ville est la capitale {de} ?",
        "Je cherche la capitale {de}.",
        "La capitale {de}, c'est quelle ville ?",
        "Connais-tu la capitale {de} ?",
        "Tu connais la capitale {de} ?",
        "Peux-tu me dire la capitale {de} ?",
        "Sais-tu quelle est la capitale {de} ?",
        "Rappelle-moi la capitale {de}.",
        "Je voudrais connaître la capitale {de}.",
        "Nomme la capitale {de}.",
        "J'ai oublié le nom de la capitale {de}.",
        "Quel est le nom de la capitale {de} ?",
        "Dis-moi quelle est la capitale {de}.",
        "Quelle est donc la capitale {de} ?",
    ),
    (
        "La capitale {de} est {y}.",
        "{y} est la capitale {de}.",
    ),
)

OPPOSITE = Relation(
    "opposite",
    rows(
        """
        grand: petit; petit: grand; chaud: froid; froid: chaud; jeune: vieux; vieux: jeune; noir: blanc; blanc:
        noir; rapide: lent; lent: rapide; fort: faible; faible: fort; heureux: malheureux; riche: pauvre; pauvre:
        riche; plein: vide; vide: plein; propre: sale; sale: propre; lourd: léger; léger: lourd; facile: difficile;
        difficile: facile; haut: bas; bas: haut; long: court; court: long; gentil: méchant; méchant: gentil; beau:
        laid; ouvert: fermé; fermé: ouvert
        """
    ),
    (
        "Quel est le contraire de {x} ?",
        "Dis-moi le contraire de {x}.",
        "Donne-moi le contraire de {x}.",
        "Quel mot est le contraire de {x} ?",
        "Le contraire de {x}, c'est quoi ?",
        "Connais-tu le contraire de {x} ?",
        "Quel est le contraire du mot {x} ?",
        "Donne le contraire du mot {x}.",
        "Je cherche le contraire de {x}.",
        "Comment dit-on le contraire de {x} ?",
        "Trouve le contraire de {x}.",
        "Sais-tu quel est le contraire de {x} ?",
        "Écris le contraire du mot {x}.",
        "Quel adjectif est le contraire de {x} ?",
    ),
    ("Le contraire de {x} est {y}.",),
)

COLOUR = Relation(
    "colour",
    rows(
        """
        le citron: jaune; la neige: blanche; le ciel: bleu; l'herbe f: verte; le charbon: noir; la tomate: rouge; la
        banane: jaune; le lait: blanc; le sang: rouge; le sapin: vert; la carotte: orange; le corbeau: noir; la mer:
        bleue; la cerise: rouge; l'orange f: orange; le cygne: blanc; la grenouille: verte; le cochon: rose;
        l'éléphant m: gris; la souris: grise; le renard: roux; le soleil: jaune
        """
    ),
    (
        "De quelle couleur est {le} ?",
        "Quelle est la couleur {de} ?",
        "Dis-moi la couleur {de}.",
        "Donne-moi la couleur {de}.",
        "{le} est de quelle couleur ?",
        "Quelle couleur a {le} ?",
        "Connais-tu la couleur {de} ?",
        "Sais-tu de quelle couleur est {le} ?",
        "Dis-moi de quelle couleur est {le}.",
        "Je cherche la couleur {de}.",
        "La couleur {de}, c'est quoi ?",
        "Rappelle-moi la couleur {de}.",
        "Peux-tu me dire la couleur {de} ?",
        "En général, de quelle couleur est {le} ?",
    ),
    ("{le} est {y}.",),
)

DAY_AFTER = Relation(
    "day_after",
    following(DAYS),
    (
        "Quel jour vient après {x} ?",
        "Quel est le jour après {x} ?",
        "Quel jour suit {x} ?",
        "Dis-moi le jour qui vient après {x}.",
        "Quel est le lendemain de {x} ?",
        "Après {x}, quel jour vient ?",
        "Dis-moi le jour qui suit {x}.",
        "Quel jour arrive après {x} ?",
        "Quel est le jour qui suit {x} ?",
        "Donne-moi le jour après {x}.",
        "Donne-moi le jour qui suit {x}.",
        "Après {x}, c'est quel jour ?",
    ),
    ("Après {x} vient {y}.", "{y} vient après {x}."),
)

MONTH_AFTER = Relation(
    "month_after",
    following(MONTHS),
    (
        "Quel mois vient après {x} ?",
        "Quel est le mois après {x} ?",
        "Quel mois suit {x} ?",
        "Dis-moi le mois qui vient après {x}.",
        "Après {x}, quel mois vient ?",
        "Dis-moi le mois qui suit {x}.",
        "Quel mois commence après {x} ?",
        "Quel est le mois qui suit {x} ?",
        "Donne-moi le mois après {x}.",
        "Donne-moi le mois qui suit {x}.",
        "Après {x}, c'est quel mois ?",
        "Sais-tu quel mois vient après {x} ?",
    ),
    ("Après {x} vient {y}.", "{y} vient après {x}."),
)

LEGS = Relation(
    "legs",
    rows(
        """
        le chat: quatre; le chien: quatre; la vache: quatre; le lapin: quatre; le renard: quatre; la souris: quatre;
        le mouton: quatre; l'araignée f: huit; la fourmi: six; l'abeille f: six; la mouche: six; le papillon: six;
        la poule: deux; le canard: deux; l'oiseau m: deux; le coq: deux; la chèvre: quatre
        """
    ),
    (
        "Combien de pattes a {le} ?",
        "Combien de pattes a {un} ?",
        "Dis-moi combien de pattes a {le}.",
        "{le} a combien de pattes ?",
        "Quel est le nombre de pattes {de} ?",
        "Sais-tu combien de pattes a {le} ?",
        "Dis-moi le nombre de pattes {de}.",
        "Donne-moi le nombre de pattes {de}.",
        "Compte les pattes {de}.",
        "{un} a combien de pattes ?",
        "Combien de pattes possède {le} ?",
        "Sur combien de pattes marche {le} ?",
        "Rappelle-moi combien de pattes a {le}.",
    ),
    ("{le} a {y} pattes.",),
)

CRY = Relation(
    "cry",
    rows(
        """
        le chat: miaule; le chien: aboie; la vache: meugle; le cheval: hennit; le mouton: bêle; la poule: caquette;
        le loup: hurle; le lion: rugit; l'abeille f: bourdonne; le cochon: grogne; la grenouille: coasse; le
        corbeau: croasse; le pigeon: roucoule; l'âne m: brait; le serpent: siffle; l'oiseau m: chante; le canard:
        cancane; l'éléphant m: barrit
        """
    ),
    (
        "Quel est le cri {de} ?",
        "Quel cri pousse {le} ?",
        "Dis-moi le cri {de}.",
        "Comment crie {le} ?",
        "Connais-tu le cri {de} ?",
        "Comment s'appelle le cri {de} ?",
        "Donne-moi le cri {de}.",
        "Quel bruit fait {le} ?",
        "Dis-moi quel bruit fait {le}.",
        "Je cherche le cri {de}.",
        "Sais-tu comment crie {le} ?",
        "Rappelle-moi le cri {de}.",
        "{le} fait quel bruit ?",
    ),
    ("{le} {y}.",),
)

YOUNG = Relation(
    "young",
    rows(
        """
        la vache: le veau; le chat: le chaton; le chien: le chiot; la poule: le poussin; la jument: le poulain; le
        cochon: le porcelet; le canard: le caneton; le lion: le lionceau; le renard: le renardeau; le loup: le
        louveteau; la chèvre: le chevreau; la brebis: l'agneau; l'ours m: l'ourson
        """
    ),
    (
        "Comment s'appelle le petit {de} ?",
        "Quel est le petit {de} ?",
        "Quel est le nom du petit {de} ?",
        "Dis-moi le nom du petit {de}.",
        "Comment appelle-t-on le petit {de} ?",
        "Qui est le petit {de} ?",
        "Le petit {de}, comment s'appelle-t-il ?",
        "Connais-tu le nom du petit {de} ?",
        "Donne-moi le nom du petit {de}.",
        "Je cherche le nom du petit {de}.",
        "Sais-tu comment s'appelle le petit {de} ?",
        "Rappelle-moi le nom du petit {de}.",
    ),
    ("Le petit {de} est {y}.", "{y} est le petit {de}."),
)

MEASURE = Relation(
    "measure",
    rows(
        """
        jours dans une semaine: sept; minutes dans une heure: soixante; secondes dans une minute: soixante; heures
        dans une journée: vingt-quatre; mois dans une année: douze; saisons dans une année: quatre; doigts sur une
        main: cinq; roues sur une voiture: quatre; roues sur un vélo: deux; côtés dans un triangle: trois; côtés
        dans un carré: quatre; lettres dans l'alphabet: vingt-six
        """
    ),
    (
        "Combien y a-t-il de {x} ?",
        "Dis-moi combien il y a de {x}.",
        "Sais-tu combien il y a de {x} ?",
        "Il y a combien de {x} ?",
        "Combien de {x} ?",
        "Quel est le nombre de {x} ?",
        "Peux-tu me dire combien il y a de {x} ?",
        "Dis-moi le nombre de {x}.",
        "Donne-moi le nombre de {x}.",
        "Rappelle-moi combien il y a de {x}.",
        "Combien compte-t-on de {x} ?",
        "Je voudrais savoir combien il y a de {x}.",
    ),
    ("Il y a {y} {x}.",),
)

CLASS = Relation(
    "class",
    rows(
        """
        la rose: une fleur; la tulipe: une fleur; la pomme: un fruit; la poire: un fruit; la cerise: un fruit; la
        carotte: un légume; le poireau: un légume; le chêne: un arbre; le sapin: un arbre; le marteau: un outil; la
        scie: un outil; la chaise: un meuble; la table: un meuble; l'armoire f: un meuble; le violon: un instrument;
        le piano: un instrument; le saumon: un poisson; la truite: un poisson; le moineau: un oiseau; le corbeau: un
        oiseau; l'abeille f: un insecte; la fourmi: un insecte; la mouche: un insecte; le manteau: un vêtement; la
        robe: un vêtement
        """
    ),
    (
        "Qu'est-ce que {le} ?",
        "C'est quoi, {un} ?",
        "Qu'est-ce que c'est, {un} ?",
        "Dis-moi ce qu'est {le}.",
        "{le}, c'est quoi ?",
        "{le}, qu'est-ce que c'est ?",
        "Explique-moi ce qu'est {un}.",
        "Sais-tu ce qu'est {un} ?",
        "Peux-tu me dire ce qu'est {un} ?",
        "Dis-moi ce que c'est que {le}.",
        "Dis-moi ce que c'est, {un}.",
        "Je voudrais savoir ce qu'est {un}.",
    ),
    ("{le} est {y}.",),
)

RELATIONS = (OPPOSITE, COLOUR, DAY_AFTER, MONTH_AFTER, LEGS, CRY, YOUNG, MEASURE, CLASS)


@cache
def facts_of(relation: Relation) -> tuple[Fact, ...]:
    """The rows of a relation as facts."""
    return tuple(Fact(relation, subject, answer) for subject, answer in relation.rows)


@cache
def facts() -> tuple[Fact, ...]:
    """All facts, the capitals first."""
    return tuple(fact for relation in (CAPITAL, *RELATIONS) for fact in facts_of(relation))


@cache
def by_statement() -> dict[str, Fact]:
    """The fact behind each answer."""
    return {fact.statement: fact for fact in facts()}


def told(fact: Fact) -> list[str]:
    """Every sentence that tells this fact, the answer first."""
    return [fact.fill(template) for template in fact.relation.statements]
