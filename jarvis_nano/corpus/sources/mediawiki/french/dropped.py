"""Templates that show nothing a reader of the text would miss: boxes, banners, navigation, references, icons."""

from __future__ import annotations

# Lower-case beginnings of names: whole families of boxes.
DROPPED_PREFIXES = (
    "infobox", "taxobox", "palette", "portail", "bandeau", "ébauche", "section ", "autorité", "légende", "feff",
    "graphique", "image", "carte", "arbre ", "frise", "base ", "bases", "succession", "début ", "fin ", "boîte ",
    "boite ", "tableau", "ligne ", "tournoi", "classement", "composition ",
    "football", "foot ", "rugby", "bs", "blason", "armoiries", "météo", "climat", "sites ", "élu",
    "notice", "imdb", "allociné", "animation", "diaporama", "galerie", "utilisateur", "données",
    "localisation", "géolocalisation", "coord", "géo", "desserte", "schéma", "article ", "articles ",
    "catégorie", "pages ", "projet", "semi-", "protection", "redirect", "autre", "confusion", "en-tête",
    "jeux olympiques ", "médaille", "récompense", "distinction", "déco ", "commons", "wikt", "wikis",
    "wiktionnaire", "population de france/section", "population de france/tableau", "population de france/graphique",
    "statistiques", "pyramide", "évolution", "démographie", "navigation", "barre ", "chronologie",
    "traduction/", "traduit de", "référence", "références", "notes", "citer", "cite ", "citation épisode", "lire ",
    "lien ", "vidéo", "audio", "écouter", "fichier", "prononciation", "rer/", "bus ",
    "tramway ", "noctilien", "transilien", "correspondances", "colonnes", "colonne ",
    "sommaire", "toc", "admissibilité", "à ", "vérif",
    "avertissement", "attention", "en cours", "événement", "travaux", "copyvio", "non neutre", "anecdotes",
    "orphelin", "sources", "trop ", "style/", "désaccord", "suppression", "wikifier",
    "conventions", "formatage", "crédit", "généalogie", "ahnentafel",
    "liste ", "sous-titre", "discographie", "track", "pistes", "piste", "film/", "distribution",
    "gisement", "panneau", "maquette",
    "encart", "multi", "double image", "images", "montage", "panorama", "photomontage",
    "vignette", "thumb", "superposition", "zoom", "plume", "icône", "icone", "logo", "drapeau", "flag", "pictogramme",
)  # fmt: skip

# Values kept elsewhere (data modules, Wikidata, today's date): the sentence that needs one goes.
UNKNOWN_VALUES = (
    "population ", "epci-", "données/", "wikidata", "âge", "age", "nombre de jours", "ancienneté", "durée depuis",
    "nombre d'années", "temps écoulé", "années depuis", "date actuelle", "aujourd'hui", "lien par élément",
)  # fmt: skip

_NAMES = """
,; ,-; virgule; sfn; sfnp; sfnm; sfn0; r; rp; ref; note; note-; notes; réf; refn; efn; refs; cref; références;
réf.; reflist; references; RF; lien web; lienweb; lien archive; lien brisé; article web; web; brevet; loi;
rapport; légifrance; JORF; doi; isbn; issn; oclc; pmid; arxiv; bibcode; hal; sudoc; bnf; BNF; viaf; ark; url;
URL; jstor; gallica; google livres; google maps; archive; webarchive; wayback; cnrtl; gaffiot; redbook; goldbook;
mathworld; pdf; doc; ppt; xls; ogg; youtube; vidéo; img; son; facebook; twitter; instagram; linkedin;
commentaire biblio; commentaire biblio SRL; présentation en ligne; lire en ligne; voir en ligne;
écouter en ligne; lire sur Wikisource; autres projets; autre projet; wikisource; commons; commonscat; wikiquote;
wikivoyage; wikinews; plume; augmentation; diminution; stagnation; steady; increase; decrease;
augmentation négative; diminution positive; augmentation positive; hausse; baisse; égal; nul; victoire; défaite;
match nul; succès; échec; en cours; oui; non; or; argent; bronze; étoile; étoiles; maillot; but; buts;
carton jaune; carton rouge; remplacement; sortie; entrée; clr; clear; clear left; clear right; saut;
saut de ligne; br; nouvelle page; - -; colonnes/fin; ancre; ancres; anchor; vpad; coord; coordonnées;
géolocalisation; geogroup; géoportail; OSM; relation OSM; maplink; sandre; hydro; article détaillé;
article connexe; article général; articles détaillés; article principal; loupe; détails; main; see also;
voir homonymes; voir homonyme; voir homonymie; voir homophones; voir paronymes; voir aussi; paronyme; paronymes;
homonymie; autre4; autres4; 2autres; 3autres; 4autres; 5autres; 6autres; confusion; pour; redirect; redirection;
titre mis en forme; titre en italique; ...; à compléter; à sourcer; à recycler; à wikifier; à illustrer;
à délister; à déplacer; vide; section vide; ébauche; non neutre; sources; source; sous-titre; sommaire;
sommaire à droite; TOC; TDM; article de qualité; bon article; AdQ; BA; label; DEFAULTSORT; semi-protection;
portail; palette; autorité; bases; dictionnaires; liens; bases vie publique; médias externes; jumelages; frise;
communes limitrophes; rose des vents; mul; jp; tr; prononciation; audio; écouter; lecteur audio; titre incorrect;
caractères non-latins; support linguistique; police API; contient API; équipe réserve; football kit; capitaine;
crochet; crochets; sic; sic!; HDR; thèse lien; mention; attention; arbitrage; 15th; passage; vue; chantier;
traduction/référence; m; modèle; tl; u; u'; ping; notif; merci; utilisateur; discussion; pdd; crédit d'auteurs;
sycomore; pierret; bouillet note
"""
DROPPED = tuple(name.strip() for name in _NAMES.split(";"))
