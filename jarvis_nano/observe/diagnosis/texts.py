"""What the diagnosis says, in French and English. The rules themselves stand in rules.py, under the same names.

In a text {value}, {threshold}, {steps}, {tag}, its title {name} and {where} (a block, a head) are the first
evidence's, {other} is the last evidence's value, {since} the step at which it began. `remedy` goes on after a colon.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """(French, English) each."""

    title: tuple[str, str]
    seen: tuple[str, str]
    remedy: tuple[str, str]


TEXTS: dict[str, Text] = {
    "not_finite": Text(
        ("Plus un nombre", "Not a number"),
        ("{tag} n'est plus un nombre depuis le pas {since}", "{tag} has not been a number since step {since}"),
        (
            "reprenez au dernier point de sauvegarde avec un taux d'apprentissage deux fois plus petit, et regardez "
            "le texte du lot et train/grad_norm juste avant",
            "resume from the last checkpoint with half the learning rate, and look at the batch's text and at "
            "train/grad_norm just before",
        ),
    ),
    "loss_spike": Text(
        ("Pic de perte", "Loss spike"),
        (
            "La perte fait un pic au pas {since} : {value} écarts types au-dessus de sa moyenne",
            "The loss spikes at step {since}: {value} standard deviations above its mean",
        ),
        (
            "s'il est seul, laissez passer ; s'il revient, baissez le taux d'apprentissage, allongez l'échauffement "
            "ou baissez beta2",
            "if it stays alone, let it pass; if it comes back, lower the learning rate, lengthen the warm-up or "
            "lower beta2",
        ),
    ),
    "gradient_spikes": Text(
        ("Pics de gradient", "Gradient spikes"),
        (
            "Le gradient fait des pics répétés depuis le pas {since}, jusqu'à {value} écarts types",
            "The gradient has spiked again and again since step {since}, by up to {value} standard deviations",
        ),
        (
            "gardez l'écrêtage, baissez le taux d'apprentissage, cherchez des textes abîmés dans le corpus",
            "keep clipping, lower the learning rate, look for broken texts in the corpus",
        ),
    ),
    "clipping": Text(
        ("Écrêtage permanent", "Always clipping"),
        (
            "Le taux d'écrêtage dépasse {threshold} depuis {steps} pas",
            "The clip rate has been above {threshold} for {steps} steps",
        ),
        (
            "baissez le taux d'apprentissage ou allongez l'échauffement",
            "lower the learning rate or lengthen the warm-up",
        ),
    ),
    "diverging": Text(
        ("La perte diverge", "The loss diverges"),
        (
            "La perte est remontée à {value}, bien au-dessus de son meilleur niveau ({other}), depuis {steps} pas",
            "The loss has risen to {value}, well above its best level ({other}), for {steps} steps",
        ),
        (
            "reprenez à un point de sauvegarde d'avant la remontée, avec un taux d'apprentissage plus petit",
            "resume from a checkpoint before the rise, with a smaller learning rate",
        ),
    ),
    "rate_too_high": Text(
        ("Taux d'apprentissage trop grand", "Learning rate too high"),
        (
            "Les pas sont trop grands depuis {steps} pas : « {name} » vaut {value} (sain : moins de {threshold})",
            "The steps have been too large for {steps} steps: “{name}” is {value} (healthy: below {threshold})",
        ),
        (
            "divisez le taux d'apprentissage par 3 ou par 10",
            "divide the learning rate by 3 or by 10",
        ),
    ),
    "no_warmup": Text(
        ("Départ sans échauffement", "Start without warm-up"),
        (
            "Les premiers pas sont trop grands, et l'échauffement manque ou dure trop peu : « {name} » vaut {value} au "
            "pas {since}, au-dessus de {threshold}",
            "The first steps are too large, and the warm-up is missing or too short: “{name}” is {value} at step "
            "{since}, above {threshold}",
        ),
        (
            "donnez à --warmup de 0,02 à 0,1, ou baissez le taux d'apprentissage",
            "set --warmup to between 0.02 and 0.1, or lower the learning rate",
        ),
    ),
    "rate_too_low": Text(
        ("Taux d'apprentissage trop petit", "Learning rate too low"),
        (
            "Chaque pas ne change les poids que d'une part de {value} (sain : autour de 0,001) et la perte ne bouge "
            "plus depuis {steps} pas",
            "Each step changes the weights by a share of only {value} (healthy: around 0.001) and the loss has not "
            "moved for {steps} steps",
        ),
        (
            "multipliez le taux d'apprentissage par 10, puis affinez",
            "multiply the learning rate by 10, then refine",
        ),
    ),
    "frozen_layer": Text(
        ("Couche gelée", "Frozen layer"),
        (
            "Un morceau du modèle n'apprend pas depuis {steps} pas : {where}, dont {tag} vaut {value}",
            "A part of the model has not learnt for {steps} steps: {where}, whose {tag} is {value}",
        ),
        (
            "vérifiez que ses paramètres demandent un gradient et sont confiés à l'optimiseur",
            "check that its parameters ask for a gradient and were given to the optimizer",
        ),
    ),
    "dead_neurons": Text(
        ("Neurones morts", "Dead neurons"),
        (
            "Dans {where}, {value} des neurones du MLP ne répondent plus à rien",
            "In {where}, {value} of the MLP's neurons no longer answer to anything",
        ),
        (
            "baissez le taux d'apprentissage, allongez l'échauffement, ou prenez gelu ou swiglu au lieu de relu2",
            "lower the learning rate, lengthen the warm-up, or take gelu or swiglu instead of relu2",
        ),
    ),
    "attention_logits": Text(
        ("L'attention explose", "Attention explodes"),
        (
            "Les logits d'attention montent à {value} (limite {threshold}) : {where}",
            "The attention logits have grown to {value} (limit {threshold}): {where}",
        ),
        (
            "ajoutez --qk-norm, ou baissez le taux d'apprentissage",
            "add --qk-norm, or lower the learning rate",
        ),
    ),
    "attention_collapse": Text(
        ("L'attention s'effondre", "Attention collapses"),
        (
            "{value} des têtes ne fixent plus qu'un seul token, sans motif utile, depuis {steps} pas",
            "{value} of the heads have stared at one single token, with no useful pattern, for {steps} steps",
        ),
        (
            "ajoutez --qk-norm, baissez le taux d'apprentissage ou allongez l'échauffement",
            "add --qk-norm, lower the learning rate or lengthen the warm-up",
        ),
    ),
    "log_z_drift": Text(
        ("log Z dérive", "log Z drifts"),
        (
            "log Z est parti à {value} et s'éloigne encore : les logits de sortie dérivent",
            "log Z has gone to {value} and still moves away: the output logits drift",
        ),
        (
            "donnez à --z-loss la valeur 0,0001",
            "set --z-loss to 0.0001",
        ),
    ),
    "outliers": Text(
        ("Activations aberrantes", "Outlying activations"),
        (
            "Quelques canaux portent presque toute l'activation, kurtosis {value} (seuil {threshold}) : {where}",
            "A few channels carry almost all of the activation, kurtosis {value} (threshold {threshold}): {where}",
        ),
        (
            "sans conséquence en float32 ; pour quantifier le modèle, baissez le taux d'apprentissage ou beta2, "
            "ajoutez --qk-norm",
            "harmless in float32; to quantise the model, lower the learning rate or beta2, add --qk-norm",
        ),
    ),
    "overfitting": Text(
        ("Il apprend par cœur", "It learns by heart"),
        (
            "La perte de validation ({value}) s'éloigne de celle d'entraînement ({other}) depuis {steps} pas : le "
            "modèle récite",
            "The held-out loss ({value}) has moved away from the training loss ({other}) for {steps} steps: the model "
            "recites",
        ),
        (
            "donnez-lui plus de textes, ôtez les doublons, arrêtez plus tôt, ou ajoutez --dropout 0.1",
            "give it more texts, remove duplicates, stop earlier, or add --dropout 0.1",
        ),
    ),
    "vanishing_gradient": Text(
        ("Le gradient s'éteint", "The gradient vanishes"),
        (
            "Le gradient faiblit de couche en couche : {where} en reçoit {value}, {threshold} serait encore sain",
            "The gradient fades from layer to layer: {where} gets {value}, {threshold} would still be healthy",
        ),
        (
            "moins de couches, ou vérifiez les normes et l'initialisation",
            "fewer layers, or check the norms and the initialisation",
        ),
    ),
    "slow": Text(
        ("Le débit a chuté", "Throughput has dropped"),
        (
            "Le débit est tombé à {value} tokens/s, moins de la moitié d'avant ({other}), depuis {steps} pas",
            "Throughput has fallen to {value} tokens/s, less than half of before ({other}), for {steps} steps",
        ),
        (
            "regardez si un autre programme occupe la machine, si elle chauffe, ou si la mémoire manque",
            "see whether another program uses the machine, whether it is hot, or short of memory",
        ),
    ),
    "overconfident": Text(
        ("Trop sûr de lui", "Too sure of itself"),
        (
            "L'entropie annoncée ({value}) est bien en dessous de la perte réelle ({other}) depuis {steps} pas",
            "The stated entropy ({value}) has been far below the actual loss ({other}) for {steps} steps",
        ),
        (
            "le modèle réagit trop fort à chaque lot ; baissez le taux d'apprentissage",
            "the model reacts too strongly to each batch; lower the learning rate",
        ),
    ),
    "nothing_learnt": Text(
        ("Rien n'est appris", "Nothing is learnt"),
        (
            "La perte reste à {value}, le niveau du hasard ({threshold}), depuis {steps} pas",
            "The loss stays at {value}, the level of chance ({threshold}), for {steps} steps",
        ),
        (
            "vérifiez que les cibles sont décalées d'un token, que le gradient n'est pas nul, et montez le taux "
            "d'apprentissage",
            "check that the targets are shifted by one token, that the gradient is not zero, and raise the "
            "learning rate",
        ),
    ),
    "unigram_plateau": Text(
        ("Le contexte ne sert pas", "The context is not used"),
        (
            "La perte reste à {value}, celle de la seule fréquence des tokens ({threshold}), depuis {steps} pas",
            "The loss stays at {value}, that of the tokens' frequencies alone ({threshold}), for {steps} steps",
        ),
        (
            "vérifiez que les textes ne sont pas mélangés et que l'attention apprend ; changez le taux "
            "d'apprentissage",
            "check that the texts are not shuffled and that attention learns; change the learning rate",
        ),
    ),
}
