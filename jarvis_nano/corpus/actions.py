"""Jarvis's actions: a call in the original's format, then what Jarvis says about it.

« Ouvre Spotify. » -> <CALL:open_app{'app':'Spotify'}> Très bien, j'ouvre Spotify.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from .facts import CAPITAL, DAYS
from .lexicon import FEMALE_NAMES, MALE_NAMES, noun, nouns
from .morphology import noun_phrase
from .sentences import OBJECTS
from .split import Split, side
from .wording import fill, same, words

_HEAD = re.compile(r"<CALL:(\w+)\{")
_OPENERS = re.compile(r"^(très bien|d'accord),? ", re.IGNORECASE)

Slots = dict[str, str]


@dataclass(frozen=True)
class Tool:
    """One tool: how its slots are drawn, which of them are its arguments, the wordings, and what Jarvis says."""

    name: str
    slots: Callable[[random.Random], Slots]
    arguments: tuple[str, ...]
    wordings: tuple[str, ...]
    said: str


def call(name: str, arguments: dict[str, str]) -> str:
    """The call as a Python-dict literal without spaces: <CALL:set_timer{'duration':'5 min'}>."""
    quoted = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in arguments.items()}
    inside = ",".join(f"'{key}':'{value}'" for key, value in quoted.items())
    return f"<CALL:{name}{{{inside}}}>"


def parse(text: str) -> tuple[str, dict[str, str], str] | None:
    """(tool, arguments, what is said) of an answer that begins with a call; None if it does not."""
    head = _HEAD.match(text.strip())
    if head is None:
        return None
    rest = text.strip()[head.end() - 1 :]
    ends = [found.end() for found in re.finditer("}(?=>)", rest)]  # a value may itself hold "}>": the first that reads
    for end in ends:
        try:
            arguments = ast.literal_eval(rest[:end])
        except (ValueError, SyntaxError):
            continue
        return (head[1], arguments, rest[end + 1 :].strip()) if isinstance(arguments, dict) else None
    return None


_APPS = words("Spotify Firefox Discord Netflix YouTube Word Excel Teams Zoom Skype Gmail WhatsApp Steam Telegram")
_MINUTES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 60, 90)
_STYLES = words("classique calme douce joyeuse triste moderne ancienne italienne espagnole africaine tranquille")
_FINDS = words("photos images vidéos dessins")
_CITIES = tuple(city for _, city in CAPITAL.rows if city != "Le Caire")  # « au Caire » would need its own templates
_TIMES = ("demain", "demain matin", "demain soir", "ce soir", *DAYS.split())
_LIT = words("salon cuisine chambre couloir grenier cave jardin atelier bibliothèque")
_EATEN = nouns("mass", "drink", "food")
_PICTURED = nouns("animal", "food", "landmark")
_ERRANDS = (
    "acheter {food}",
    "préparer {food}",
    "manger {food}",
    "appeler {name}",
    "inviter {name}",
    "aider {name}",
    "remercier {name}",
    "laver {object}",
    "réparer {object}",
    "ranger {object}",
    "chercher {object}",
)


def _food(rng: random.Random) -> tuple[str, str]:
    """(« du pain », pain) or (« des pommes », pommes)"""
    chosen = rng.choice(_EATEN)
    if chosen.kind != "food":
        return noun_phrase(chosen, "du"), chosen.singular
    return noun_phrase(chosen, "un", "p"), chosen.plural


def _reminder(rng: random.Random) -> Slots:
    task = rng.choice(_ERRANDS).format(
        food=_food(rng)[0],
        name=rng.choice(MALE_NAMES + FEMALE_NAMES),
        object=noun_phrase(rng.choice(OBJECTS)),
    )
    return {"task": task, "when": rng.choice(_TIMES)}


def _item(rng: random.Random) -> Slots:
    some, bare = _food(rng)
    return {"some": some, "item": bare}


def _light(state: str) -> Callable[[random.Random], Slots]:
    def draw_room(rng: random.Random) -> Slots:
        room = noun(rng.choice(_LIT))
        return {"room": room.singular, "the_room": noun_phrase(room), "state": state}

    return draw_room


def _search(rng: random.Random) -> Slots:
    thing = rng.choice(_PICTURED).plural
    return {"query": fill("{find} de {thing}", find=rng.choice(_FINDS), thing=thing).lower()}


TOOLS = (
    Tool(
        "open_app",
        lambda rng: {"app": rng.choice(_APPS)},
        ("app",),
        (
            "Ouvre {app}.",
            "Lance {app}.",
            "Démarre {app}.",
            "Ouvre-moi {app}.",
            "Peux-tu ouvrir {app} ?",
            "Peux-tu lancer {app} ?",
            "Tu peux ouvrir {app} ?",
            "Ouvre l'application {app}.",
            "Lance l'application {app}.",
            "Je voudrais ouvrir {app}.",
            "Je veux ouvrir {app}.",
            "Il faut ouvrir {app}.",
        ),
        "Très bien, j'ouvre {app}.",
    ),
    Tool(
        "close_app",
        lambda rng: {"app": rng.choice(_APPS)},
        ("app",),
        (
            "Ferme {app}.",
            "Quitte {app}.",
            "Arrête {app}.",
            "Ferme-moi {app}.",
            "Peux-tu fermer {app} ?",
            "Tu peux fermer {app} ?",
            "Ferme l'application {app}.",
            "Quitte l'application {app}.",
            "Je voudrais fermer {app}.",
            "Je veux fermer {app}.",
            "Il faut fermer {app}.",
            "Je n'ai plus besoin de {app}.",
        ),
        "Très bien, je ferme {app}.",
    ),
    Tool(
        "set_timer",
        lambda rng: {"n": (n := str(rng.choice(_MINUTES))), "duration": f"{n} min"},
        ("duration",),
        (
            "Lance un minuteur de {n} minutes.",
            "Mets un minuteur de {n} minutes.",
            "Règle un minuteur sur {n} minutes.",
            "Mets un minuteur pour {n} minutes.",
            "Peux-tu lancer un minuteur de {n} minutes ?",
            "Je voudrais un minuteur de {n} minutes.",
            "Préviens-moi dans {n} minutes.",
            "Fais sonner le minuteur dans {n} minutes.",
            "Minuteur de {n} minutes.",
            "Compte {n} minutes.",
            "Sonne dans {n} minutes.",
            "Démarre un minuteur de {n} minutes.",
        ),
        "D'accord, je lance un minuteur de {n} minutes.",
    ),
    Tool(
        "play_music",
        lambda rng: {"style": rng.choice(_STYLES)},
        ("style",),
        (
            "Mets de la musique {style}.",
            "Joue de la musique {style}.",
            "Lance de la musique {style}.",
            "Mets-moi de la musique {style}.",
            "Joue-moi de la musique {style}.",
            "Je voudrais de la musique {style}.",
            "Je veux écouter de la musique {style}.",
            "Peux-tu mettre de la musique {style} ?",
            "Fais-moi écouter de la musique {style}.",
            "J'ai envie de musique {style}.",
            "Un peu de musique {style}, s'il te plaît !",
            "Tu peux jouer de la musique {style} ?",
        ),
        "Très bien, je mets de la musique {style}.",
    ),
    Tool(
        "search_web",
        _search,
        ("query",),
        (
            "Cherche des {query}.",
            "Cherche des {query} sur le web.",
            "Trouve des {query}.",
            "Trouve-moi des {query}.",
            "Cherche-moi des {query}.",
            "Peux-tu chercher des {query} ?",
            "Je cherche des {query}.",
            "Je voudrais voir des {query}.",
            "Je veux trouver des {query}.",
            "Trouve des {query} sur le web.",
            "Tu peux trouver des {query} ?",
            "Montre-moi des {query}.",
        ),
        "Je cherche des {query}.",
    ),
    Tool(
        "get_weather",
        lambda rng: {"location": rng.choice(_CITIES), "when": rng.choice(_TIMES)},
        ("location", "when"),
        (
            "Quel temps fera-t-il {when} à {location} ?",
            "Quel temps fera-t-il à {location} {when} ?",
            "Donne-moi la météo de {location} pour {when}.",
            "Quelle est la météo de {location} pour {when} ?",
            "Fera-t-il beau {when} à {location} ?",
            "Va-t-il pleuvoir {when} à {location} ?",
            "Pleuvra-t-il à {location} {when} ?",
            "Il fera beau à {location} {when} ?",
            "Dis-moi le temps qu'il fera {when} à {location}.",
            "Cherche la météo de {location} pour {when}.",
            "La météo de {location} pour {when}, s'il te plaît !",
            "Est-ce qu'il fera froid {when} à {location} ?",
        ),
        "Je regarde la météo de {location} pour {when}.",
    ),
    Tool(
        "set_volume",
        lambda rng: {"level": str(rng.randrange(5, 101, 5))},
        ("level",),
        (
            "Mets le volume à {level}.",
            "Règle le volume à {level}.",
            "Règle le volume sur {level}.",
            "Mets le son à {level}.",
            "Règle le son sur {level}.",
            "Passe le volume à {level}.",
            "Passe le son à {level}.",
            "Peux-tu mettre le volume à {level} ?",
            "Peux-tu mettre le son à {level} ?",
            "Je voudrais le volume à {level}.",
            "Le volume à {level}, s'il te plaît !",
            "Tu peux régler le volume sur {level} ?",
        ),
        "Très bien, je mets le volume à {level}.",
    ),
    Tool(
        "add_reminder",
        _reminder,
        ("task", "when"),
        (
            "Rappelle-moi de {task} {when}.",
            "Fais-moi penser à {task} {when}.",
            "Je dois {task} {when}, rappelle-le-moi.",
            "N'oublie pas de me rappeler de {task} {when}.",
            "Peux-tu me rappeler de {task} {when} ?",
            "Je voudrais que tu me rappelles de {task} {when}.",
            "Tu peux me rappeler de {task} {when} ?",
            "Il faut me rappeler de {task} {when}.",
            "Ajoute un rappel : {task} {when}.",
            "Mets un rappel pour {task} {when}.",
            "Crée un rappel pour {task} {when}.",
            "Note que je dois {task} {when}.",
        ),
        "Je te rappellerai de {task} {when}.",
    ),
    Tool(
        "add_shopping_item",
        _item,
        ("item",),
        (
            "Ajoute {some} à la liste de courses.",
            "Ajoute {some} à ma liste de courses.",
            "Mets {some} sur la liste de courses.",
            "Mets {some} sur ma liste de courses.",
            "Note {some} sur la liste de courses.",
            "Écris {some} sur la liste de courses.",
            "Il faut {some} sur ma liste de courses.",
            "Peux-tu ajouter {some} à ma liste de courses ?",
            "Tu peux mettre {some} sur la liste de courses ?",
            "Je veux {some} sur ma liste de courses.",
            "Sur la liste de courses, ajoute {some}.",
            "N'oublie pas {some} sur la liste de courses.",
        ),
        "J'ajoute {some} à ta liste de courses.",
    ),
    Tool(
        "set_light",
        _light("on"),
        ("room", "state"),
        (
            "Allume la lumière de {the_room}.",
            "Allume la lampe de {the_room}.",
            "Peux-tu allumer la lumière de {the_room} ?",
            "Mets de la lumière dans {the_room}.",
            "Je voudrais de la lumière dans {the_room}.",
            "Il fait noir dans {the_room}.",
            "Tu peux allumer la lampe de {the_room} ?",
            "Il faut allumer la lumière de {the_room}.",
        ),
        "J'allume la lumière de {the_room}.",
    ),
    Tool(
        "set_light",
        _light("off"),
        ("room", "state"),
        (
            "Éteins la lumière de {the_room}.",
            "Éteins la lampe de {the_room}.",
            "Peux-tu éteindre la lumière de {the_room} ?",
            "Coupe la lumière de {the_room}.",
            "Je ne veux plus de lumière dans {the_room}.",
            "Il y a trop de lumière dans {the_room}.",
            "Tu peux éteindre la lampe de {the_room} ?",
            "Il faut éteindre la lumière de {the_room}.",
        ),
        "J'éteins la lumière de {the_room}.",
    ),
)


def draw(rng: random.Random, split: Split) -> tuple[str, str]:
    """A command and its call. The whole command falls on one side; its wording and its slots are seen in both."""
    while True:
        tool = rng.choice(TOOLS)
        instruction = fill(rng.choice(tool.wordings), **(slots := tool.slots(rng)))
        if side(instruction) == split:
            called = call(tool.name, {key: slots[key] for key in tool.arguments})
            return instruction, f"{called} {fill(tool.said, **slots)}"


def judge(response: str, answer: str) -> bool:
    """The same tool with the same arguments, and the same said, with or without « très bien » before it."""
    expected, given = parse(response), parse(answer)
    if expected is None or given is None or expected[:2] != given[:2]:
        return False
    return same(_OPENERS.sub("", given[2]), _OPENERS.sub("", expected[2]))
