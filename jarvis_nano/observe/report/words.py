"""The report's own words, in French and English."""

from __future__ import annotations

import time

from jarvis_nano.observe.tags import Lang

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Carnet d'entraînement", "Training notebook"),
    "comparison": ("Comparaison de {n} entraînements", "Comparison of {n} trainings"),
    "made_by": ("Fait par jarvis_nano", "Made by jarvis_nano"),
    "all_inside": (
        "cette page contient toutes ses données et ne charge rien d'ailleurs.",
        "this page holds all of its data and loads nothing from elsewhere.",
    ),
    "smoothing": ("Lissage", "Smoothing"),
    "log": ("échelle log", "log scale"),
    "microscope": ("Le microscope : la perte, token par token", "The microscope: the loss, token by token"),
    "diagnosis": ("Diagnostic", "Diagnosis"),
    "healthy": (
        "Rien à signaler : aucune des {n} règles n'a trouvé de symptôme.",
        "Nothing to report: none of the {n} rules found a symptom.",
    ),
    "evidence": ("Preuves", "Evidence"),
    "source": ("Source", "Source"),
    "steps_range": ("pas {first} à {last}", "steps {first} to {last}"),
    "step": ("pas", "step"),
    "samples": ("La machine à remonter le temps", "The time machine"),
    "samples_about": (
        "Le même début, continué par le modèle à chaque âge. Glissez pour le voir apprendre à écrire.",
        "The same beginning, continued by the model at every age. Slide to watch it learn to write.",
    ),
    "settings": ("Réglages", "Settings"),
    "settings_differ": ("Ce qui diffère", "What differs"),
    "settings_same": ("Ces entraînements ont les mêmes réglages.", "These trainings have the same settings."),
    "settings_all": ("Tous les réglages", "All settings"),
    "machine": ("Machine", "Machine"),
    "missing": ("Ce que cette page n'a pas", "What this page lacks"),
    "now": ("au dernier pas", "at the last step"),
    # Headline figures.
    "eval_loss": ("perte de validation", "held-out loss"),
    "train_loss": ("perte d'entraînement", "training loss"),
    "perplexity": ("perplexité", "perplexity"),
    "bits_per_byte": ("bits par octet", "bits per byte"),
    "grammar": ("grammaire juste", "grammar right"),
    "induction": ("meilleure tête d'induction", "best induction head"),
    "parameters": ("poids", "weights"),
    "tokens": ("tokens lus", "tokens read"),
    "speed": ("tokens par seconde", "tokens per second"),
    "duration": ("durée", "duration"),
    "steps_done": ("pas", "steps"),
    "overhead": ("coût de l'observation", "cost of observing"),
    # Why something is missing.
    "no_metrics": (
        "Aucune mesure : l'entraînement s'est arrêté avant sa première ligne de metrics.jsonl.",
        "No measurement: the training stopped before its first line of metrics.jsonl.",
    ),
    "no_eval": (
        "Pas de validation : l'entraînement est plus court que l'intervalle (eval_every), ou sans texte de côté.",
        "No validation: the training is shorter than its interval (eval_every), or no text was held out.",
    ),
    "no_layers": (
        "Pas de mesures par couche : lancé avec --observe off, ou par une version qui ne les faisait pas.",
        "No measurements by layer: started with --observe off, or by a version that did not make them.",
    ),
    "no_probes": (
        "Pas de sondes (activations, têtes d'attention) : --observe off, ou arrêté avant la première.",
        "No probes (activations, attention heads): --observe off, or stopped before the first.",
    ),
    "no_categories": (
        "Pas de perte par catégorie du français : --observe off, ou arrêté avant la première validation.",
        "No loss by category of French: --observe off, or stopped before the first validation.",
    ),
    "no_grammar": (
        "Pas de courbes de grammaire : --observe off, ou arrêté avant la première validation.",
        "No grammar curves: --observe off, or stopped before the first validation.",
    ),
    "no_samples": (
        "Pas d'extraits : --observe off, ou arrêté avant le premier.",
        "No samples: --observe off, or stopped before the first.",
    ),
    "no_microscope": (
        "Pas de microscope : microscope.html n'est pas dans le dossier de l'entraînement.",
        "No microscope: microscope.html is not in the run's folder.",
    ),
    "no_machine": (
        "Rien n'est noté de la machine (ni machine.json, ni point de sauvegarde).",
        "Nothing was noted of the machine (neither machine.json nor a checkpoint).",
    ),
}


def word(key: str, lang: Lang, **values: object) -> str:
    return WORDS[key][lang == "en"].format(**values)


def duration(seconds: float) -> str:
    """3 h 05 min, 12 min, 4 min 30 s, 45 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left:02d} min"
    if minutes >= 10:
        return f"{minutes} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def date(seconds: float, lang: Lang) -> str:
    """28/11/2026 à 14:05, 2026-11-28 14:05, in local time."""
    return time.strftime("%d/%m/%Y à %H:%M" if lang == "fr" else "%Y-%m-%d %H:%M", time.localtime(seconds))
