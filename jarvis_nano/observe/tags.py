"""What each tag of metrics.jsonl is called and means, in French and English: one table for every page that shows them.

A tag with one slash is a curve, `train/loss`. A tag with more is a member of a family, `layers/grad_norm/03`: the
family is the tag without its last part, and is described once. Not for deciding what is measured or when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Lang = Literal["fr", "en"]


@dataclass(frozen=True)
class Tag:
    """One curve, or one family of curves."""

    name: str
    """The tag, or the family: `train/loss`, `layers/grad_norm`."""
    group: str
    """A key of GROUPS."""
    unit: str
    """Of the values; empty where they have none. `share` is 0 to 1."""
    titles: tuple[str, str]
    """French, English: a few words."""
    abouts: tuple[str, str]
    """French, English: one line, what it is and how to read it."""
    log: bool = False
    """True where the values span powers of ten, so that a logarithmic axis or colour scale shows more."""

    def title(self, lang: Lang = "fr") -> str:
        return self.titles[lang == "en"]

    def about(self, lang: Lang = "fr") -> str:
        return self.abouts[lang == "en"]


# Group -> (French, English) title, in the order in which pages show them.
GROUPS: dict[str, tuple[str, str]] = {
    "learning": ("Ce que le modèle apprend", "What the model learns"),
    "step": ("Comment il apprend", "How it learns"),
    "output": ("Ses prédictions", "Its predictions"),
    "layers": ("Couche par couche", "Layer by layer"),
    "attention": ("L'attention, tête par tête", "Attention, head by head"),
    "weights": ("Les matrices", "The matrices"),
    "french": ("Le français, catégorie par catégorie", "French, category by category"),
    "grammar": ("La grammaire", "Grammar"),
    "machine": ("La machine", "The machine"),
    "other": ("Autres mesures", "Other measurements"),
}

# (tag or family, group, unit, logarithmic,
#  French title, English title,
#  French line,
#  English line)
_TABLE = (
    ("train/loss", "learning", "nats", False,
     "Perte d'entraînement", "Training loss",
     "Surprise moyenne par token, sur le texte appris. Au hasard : ln(vocabulaire).",
     "Mean surprise per token on the text it learns from. Guessing evenly gives ln(vocabulary)."),
    ("eval/loss", "learning", "nats", False,
     "Perte de validation", "Held-out loss",
     "La même, sur des textes jamais vus. L'écart avec l'entraînement est ce qui est appris par cœur.",
     "The same on texts it never saw. The gap to training is what was learnt by heart."),
    ("train/perplexity", "learning", "", True,
     "Perplexité d'entraînement", "Training perplexity",
     "exp(perte) : entre combien de tokens le modèle hésite.",
     "exp(loss): between how many tokens the model hesitates."),
    ("eval/perplexity", "learning", "", True,
     "Perplexité de validation", "Held-out perplexity",
     "exp(perte de validation).",
     "exp(held-out loss)."),
    ("eval/bits_per_byte", "learning", "bits", False,
     "Bits par octet", "Bits per byte",
     "Perte de validation par octet de texte : comparable d'un tokenizer à l'autre.",
     "Held-out loss per byte of text: comparable across tokenizers."),
    ("train/accuracy", "learning", "share", False,
     "Exactitude d'entraînement", "Training accuracy",
     "Part des tokens que le modèle donne comme premier choix.",
     "Share of the tokens that are the model's first guess."),
    ("eval/accuracy", "learning", "share", False,
     "Exactitude de validation", "Held-out accuracy",
     "La même, sur des textes jamais vus.",
     "The same on texts it never saw."),
    ("train/in_context", "learning", "nats", False,
     "Apprentissage en contexte", "In-context learning",
     "Perte en fin de contexte moins perte au début : plus c'est négatif, mieux le contexte sert.",
     "Loss late in the context minus loss early: the more negative, the better the context is used."),
    ("train/unigram_loss", "learning", "nats", False,
     "Perte sans contexte", "Loss without context",
     "Perte de qui ne connaît que la fréquence de chaque token : le premier palier à dépasser.",
     "Loss of one who knows nothing but each token's frequency: the first plateau to get past."),
    ("positions/loss", "learning", "nats", False,
     "Perte selon la position", "Loss by position",
     "Une ligne par position dans le contexte : elle baisse quand le modèle se sert de ce qui précède.",
     "One row per position in the context: it falls as the model uses what came before."),
    ("frequency/loss", "learning", "nats", False,
     "Perte selon la fréquence", "Loss by frequency",
     "Par décile de fréquence des tokens, 0 les plus rares : les fréquents s'apprennent d'abord.",
     "By decile of token frequency, 0 the rarest: the frequent ones are learnt first."),
    ("train/learning_rate", "step", "", False,
     "Taux d'apprentissage", "Learning rate",
     "Taille du pas de l'optimiseur, après échauffement et décroissance.",
     "Size of the optimizer's step, after warm-up and decay."),
    ("train/grad_norm", "step", "", True,
     "Norme du gradient", "Gradient norm",
     "Avant écrêtage. Des pics annoncent les ennuis.",
     "Before clipping. Spikes come before trouble."),
    ("train/clip_rate", "step", "share", False,
     "Taux d'écrêtage", "Clip rate",
     "Part des pas dont le gradient a été raccourci. Longtemps près de 1 : c'est le seuil qui règle l'allure.",
     "Share of the steps whose gradient was shortened. Near 1 for long: the threshold sets the pace."),
    ("train/loss_spike", "step", "σ", False,
     "Pic de perte", "Loss spike score",
     "Écart à la moyenne des 128 derniers pas, en écarts types. Au-dessus de 6 : un pic.",
     "Distance from the mean of the last 128 steps, in standard deviations. Above 6: a spike."),
    ("train/grad_spike", "step", "σ", False,
     "Pic de gradient", "Gradient spike score",
     "Le même score pour la norme du gradient.",
     "The same score for the gradient norm."),
    ("train/grad_norm_max", "step", "", True,
     "Plus long gradient", "Longest gradient",
     "Le plus long des pas depuis le point précédent, avant écrêtage.",
     "The longest of the steps since the last point, before clipping."),
    ("train/weight_norm", "step", "", False,
     "Norme des poids", "Weight norm",
     "Sur tous les paramètres. Elle croît lentement ; un saut trahit des pas trop grands.",
     "Over all parameters. It grows slowly; a jump means steps that are too large."),
    ("train/noise_scale", "step", "tokens", True,
     "Échelle de bruit du gradient", "Gradient noise scale",
     "Taille de lot au-delà de laquelle un lot plus grand n'apporte presque plus rien.",
     "Batch size beyond which a larger batch brings almost nothing."),
    ("layers/update_ratio", "step", "", True,
     "Mise à jour / poids", "Update-to-weight ratio",
     "Part dont un pas change les poids d'un bloc. Saine autour de 0,001.",
     "By what share one step changes a block's weights. Healthy around 0.001."),
    ("layers/grad_norm", "step", "", True,
     "Gradient par bloc", "Gradient per block",
     "Norme du gradient de chaque bloc, avant écrêtage. Nulle : le bloc est gelé.",
     "Gradient norm of each block, before clipping. Zero: the block is frozen."),
    ("layers/clipped_grad_norm", "step", "", True,
     "Gradient écrêté par bloc", "Clipped gradient per block",
     "La même après écrêtage : ce que l'optimiseur reçoit.",
     "The same after clipping: what the optimizer is given."),
    ("train/entropy", "output", "nats", False,
     "Entropie des prédictions", "Output entropy",
     "L'incertitude annoncée. Bien en dessous de la perte : trop sûr de lui.",
     "The uncertainty it states. Far below the loss: sure of itself without reason."),
    ("train/log_z", "output", "", False,
     "log Z", "log Z",
     "Logarithme du dénominateur du softmax. Une dérive continue précède l'instabilité.",
     "Logarithm of the softmax's denominator. A steady drift comes before instability."),
    ("probe/lens_depth", "output", "", False,
     "Profondeur de la décision", "Depth of the decision",
     "Couche moyenne où la prédiction finale apparaît pour de bon (logit lens).",
     "Mean layer at which the final prediction appears for good (logit lens)."),
    ("layers/lens_loss", "output", "nats", False,
     "Perte à chaque profondeur", "Loss at each depth",
     "Ce que vaudrait la prédiction si l'on s'arrêtait à cette couche (logit lens).",
     "How good the prediction would be if one stopped at this layer (logit lens)."),
    ("layers/lens_agrees", "output", "share", False,
     "Accord avec la fin", "Agreement with the end",
     "Part des positions dont le premier choix à cette couche est déjà le choix final.",
     "Share of the positions whose first guess at this layer is already the final one."),
    ("layers/activation_rms", "layers", "", True,
     "Taille des activations", "Activation size",
     "Moyenne quadratique à la sortie de chaque bloc.",
     "Root mean square at each block's output."),
    ("layers/activation_max", "layers", "", True,
     "Activation la plus grande", "Largest activation",
     "Plus grande valeur absolue. Cent fois la moyenne : une valeur aberrante.",
     "Largest absolute value. A hundred times the mean: an outlier."),
    ("layers/kurtosis", "layers", "", True,
     "Kurtosis des activations", "Activation kurtosis",
     "0 pour une gaussienne. Très grand : quelques valeurs portent tout.",
     "0 for a Gaussian. Very large: a few values carry everything."),
    ("probe/kurtosis_max", "layers", "", True,
     "Kurtosis, pire couche", "Kurtosis, worst layer",
     "Le plus grand kurtosis de toutes les couches.",
     "The largest kurtosis of all layers."),
    ("layers/residual_rms", "layers", "", True,
     "Flux résiduel", "Residual stream",
     "Taille du flux après chaque bloc : chacun y ajoute un peu.",
     "Size of the stream after each block: each adds a little."),
    ("layers/residual_max", "layers", "", True,
     "Plus grande valeur du flux", "Largest value of the stream",
     "La plus grande valeur absolue du flux après chaque bloc : quelques pics sont courants, qui croissent non.",
     "The largest absolute value of the residual stream after each block: a few outliers are usual, growing ones not."),
    ("layers/attention_out_rms", "layers", "", True,
     "Apport de l'attention", "What attention adds",
     "Taille de ce que l'attention de chaque bloc écrit dans le flux.",
     "Size of what each block's attention writes into the stream."),
    ("layers/mlp_out_rms", "layers", "", True,
     "Apport du MLP", "What the MLP adds",
     "Taille de ce que le MLP de chaque bloc écrit dans le flux.",
     "Size of what each block's MLP writes into the stream."),
    ("layers/dead_neurons", "layers", "share", False,
     "Neurones morts", "Dead neurons",
     "Part des unités du MLP qui ne répondent à rien.",
     "Share of the MLP's units that answer to nothing."),
    ("probe/dead_neurons", "layers", "share", False,
     "Neurones morts, pire couche", "Dead neurons, worst layer",
     "La plus grande part de toutes les couches.",
     "The largest share of all layers."),
    ("heads/attention_entropy", "attention", "nats", False,
     "Entropie de l'attention", "Attention entropy",
     "Près de 0 : la tête fixe un seul token. Grande : elle regarde partout.",
     "Near 0: the head stares at one token. Large: it looks everywhere."),
    ("probe/attention_entropy_min", "attention", "nats", False,
     "Entropie de la tête la plus nette", "Entropy of the sharpest head",
     "La plus petite entropie de toutes les têtes.",
     "The smallest entropy of all heads."),
    ("heads/max_logit", "attention", "", True,
     "Plus grand logit", "Largest logit",
     "Plus grand q·k/√d de chaque tête. Au-delà de 100, l'attention explose.",
     "Largest q·k/√d of each head. Beyond 100 attention explodes."),
    ("probe/max_logit", "attention", "", True,
     "Plus grand logit d'attention", "Largest attention logit",
     "Le plus grand de toutes les têtes.",
     "The largest of all heads."),
    ("heads/previous_token", "attention", "share", False,
     "Têtes « token précédent »", "Previous-token heads",
     "Part de l'attention posée sur le token juste avant.",
     "Share of the attention that lies on the token just before."),
    ("probe/previous_token_best", "attention", "share", False,
     "Meilleure tête « token précédent »", "Best previous-token head",
     "La plus grande part de toutes les têtes.",
     "The largest share of all heads."),
    ("heads/duplicate", "attention", "share", False,
     "Têtes « doublon »", "Duplicate-token heads",
     "Part de l'attention posée sur le même token, vu plus tôt.",
     "Share of the attention that lies on the same token, seen earlier."),
    ("probe/duplicate_best", "attention", "share", False,
     "Meilleure tête « doublon »", "Best duplicate-token head",
     "La plus grande part de toutes les têtes.",
     "The largest share of all heads."),
    ("heads/induction", "attention", "share", False,
     "Têtes d'induction", "Induction heads",
     "Part posée sur ce qui suivait le même token plus tôt : la tête qui copie.",
     "Share that lies on what followed the same token earlier: the head that copies."),
    ("probe/induction_best", "attention", "share", False,
     "Meilleure tête d'induction", "Best induction head",
     "Un saut ici est le moment où le modèle apprend à copier.",
     "A jump here is the moment when the model learns to copy."),
    ("spectrum/stable_rank", "weights", "", False,
     "Rang stable", "Stable rank",
     "‖W‖²F / ‖W‖²₂ : petit quand une seule direction domine la matrice.",
     "‖W‖²F / ‖W‖²₂: small where one direction rules the matrix."),
    ("spectrum/effective_rank", "weights", "", False,
     "Rang effectif", "Effective rank",
     "exp de l'entropie des valeurs singulières : combien de directions servent.",
     "exp of the entropy of the singular values: how many directions are in use."),
    ("probe/hessian_max", "weights", "", True,
     "Courbure maximale", "Largest curvature",
     "Plus grande valeur propre du hessien. Au-delà de 2 / taux, la descente simple diverge.",
     "Largest eigenvalue of the Hessian. Beyond 2 / rate plain descent diverges."),
    ("categories/loss", "french", "nats", False,
     "Perte par catégorie", "Loss by category",
     "Perte de validation selon la nature du token : accents, élisions, chiffres…",
     "Held-out loss by the kind of token: accents, elisions, digits…"),
    ("grammar/accuracy", "grammar", "share", False,
     "Phénomènes de grammaire", "Grammatical phenomena",
     "Part des paires où la phrase juste est jugée plus probable que la fautive. Au hasard : 50 %.",
     "Share of the pairs whose right sentence is found more probable than the wrong one. By chance: 50 %."),
    ("eval/grammar", "grammar", "share", False,
     "Grammaire, moyenne", "Grammar, mean",
     "Moyenne de tous les phénomènes.",
     "Mean over all phenomena."),
    ("train/tokens_per_second", "machine", "tokens/s", False,
     "Débit", "Throughput",
     "Tokens appris par seconde de calcul.",
     "Tokens learnt per second of computation."),
    ("train/flop_utilisation", "machine", "share", False,
     "Utilisation de la machine", "Use of the machine",
     "Part de la puissance de crête que les opérations utiles atteignent (MFU).",
     "Share of the machine's peak that the useful operations reach (MFU)."),
    ("train/memory_mb", "machine", "MB", False,
     "Mémoire", "Memory",
     "Mémoire du processus, ou celle du GPU.",
     "Memory of the process, or the GPU's."),
    ("observe/overhead_percent", "machine", "%", False,
     "Coût de l'observation", "Cost of observing",
     "Part du temps d'entraînement que prend l'observation elle-même.",
     "Share of the training's time that observing takes."),
    ("histograms/non_finite", "machine", "", False,
     "Poids non finis", "Non-finite weights",
     "Nombre de poids NaN ou infinis.",
     "Number of weights that are NaN or infinite."),
)  # fmt: skip

TAGS: dict[str, Tag] = {
    name: Tag(name, group, unit, (title_fr, title_en), (fr, en), log)
    for name, group, unit, log, title_fr, title_en, fr, en in _TABLE
}

# Members that have a name of their own: (French, English). Others are numbers (`03`, `03.05`) or names of parameters.
MEMBERS: dict[str, tuple[str, str]] = {
    "embedding": ("entrée", "input"),
    "final": ("sortie", "output"),
    "accents": ("lettres accentuées", "accented letters"),
    "elision": ("élisions", "elisions"),
    "digits": ("chiffres", "digits"),
    "punctuation": ("ponctuation", "punctuation"),
    "word_start": ("débuts de mot", "word starts"),
    "continuation": ("suites de mot", "continuations"),
    "capitals": ("majuscules", "capitals"),
    "rare": ("mots rares", "rare words"),
    "subject_verb": ("sujet et verbe", "subject and verb"),
    "gender": ("genre", "gender"),
    "number_of_adjectives": ("pluriel des adjectifs", "plural of adjectives"),
    "participle_etre": ("participe avec être", "participle with être"),
    "participle_avoir": ("participe avec avoir", "participle with avoir"),
    "contraction": ("contractions", "contractions"),
    "negation": ("négation", "negation"),
    "clitic_order": ("ordre des pronoms", "order of pronouns"),
    "subjunctive": ("subjonctif", "subjunctive"),
    "auxiliary": ("choix de l'auxiliaire", "choice of auxiliary"),
    "pronoun_gender": ("genre du pronom", "gender of pronouns"),
    "question_inversion": ("inversion dans la question", "inversion in questions"),
}


def split(tag: str) -> tuple[str, str] | None:
    """(family, member) of a tag with two or more slashes; None for a curve of its own."""
    if tag.count("/") < 2:
        return None
    head, name, member = tag.split("/", 2)  # a member may hold slashes of its own
    return f"{head}/{name}", member


def describe(tag: str) -> Tag:
    """The description of a curve, a family or a family's member; a tag that is not in the table names itself."""
    parts = split(tag)
    name = parts[0] if parts else tag
    return TAGS.get(name) or Tag(name, "other", "", (name, name), ("", ""))


def member_title(member: str, lang: Lang = "fr") -> str:
    """What a family's member is called: `accents` -> « lettres accentuées », `subject_verb` -> « subject verb »."""
    return MEMBERS[member][lang == "en"] if member in MEMBERS else member.replace("_", " ")
