"""Countries and teams: {{FRA}}, {{pays|FRA}}, {{JO|CHI|…}}, {{jumelage|Barcelone|Espagne|année=1983}}."""

from __future__ import annotations

from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments, first

_CODES = (
    "AFG=Afghanistan ALB=Albanie ALG=Algérie AND=Andorre ANG=Angola ARG=Argentine ARM=Arménie AUS=Australie "
    "AUT=Autriche AZE=Azerbaïdjan BEL=Belgique BEN=Bénin BLR=Biélorussie BIH=Bosnie-Herzégovine BOL=Bolivie "
    "BRA=Brésil BUL=Bulgarie BUR=Burkina_Faso CAM=Cambodge CAN=Canada CHI=Chili CHL=Chili CHN=Chine "
    "CIV=Côte_d'Ivoire CMR=Cameroun COD=République_démocratique_du_Congo COG=Congo COL=Colombie CPV=Cap-Vert "
    "CRC=Costa_Rica CRO=Croatie HRV=Croatie CUB=Cuba CYP=Chypre CZE=Tchéquie TCH=Tchécoslovaquie DEN=Danemark "
    "DNK=Danemark ECU=Équateur EGY=Égypte ENG=Angleterre ESP=Espagne EST=Estonie ETH=Éthiopie FIN=Finlande "
    "FRA=France FRG=Allemagne_de_l'Ouest GAB=Gabon GBR=Royaume-Uni UK=Royaume-Uni GDR=Allemagne_de_l'Est "
    "GEO=Géorgie GER=Allemagne DEU=Allemagne ALL=Allemagne GHA=Ghana GRE=Grèce GRC=Grèce GUI=Guinée HAI=Haïti "
    "HUN=Hongrie IDN=Indonésie IND=Inde IRL=Irlande IRI=Iran IRN=Iran IRQ=Irak ISL=Islande ISR=Israël "
    "ITA=Italie JAM=Jamaïque JPN=Japon KAZ=Kazakhstan KEN=Kenya KOR=Corée_du_Sud PRK=Corée_du_Nord "
    "LAT=Lettonie LVA=Lettonie LBN=Liban LIB=Liban LIE=Liechtenstein LTU=Lituanie LUX=Luxembourg "
    "MAD=Madagascar MAR=Maroc MDA=Moldavie MEX=Mexique MGL=Mongolie MKD=Macédoine_du_Nord MLI=Mali MLT=Malte "
    "MNE=Monténégro MON=Monaco MCO=Monaco NED=Pays-Bas NLD=Pays-Bas NGA=Nigeria NGR=Nigeria "
    "NIR=Irlande_du_Nord NOR=Norvège NZL=Nouvelle-Zélande PAK=Pakistan PAR=Paraguay PER=Pérou PHI=Philippines "
    "POL=Pologne POR=Portugal PRT=Portugal QAT=Qatar ROU=Roumanie RSA=Afrique_du_Sud RUS=Russie SCO=Écosse "
    "SEN=Sénégal SLO=Slovénie SVN=Slovénie SRB=Serbie SUI=Suisse CHE=Suisse SVK=Slovaquie SWE=Suède "
    "THA=Thaïlande TOG=Togo TUN=Tunisie TUR=Turquie UKR=Ukraine URS=Union_soviétique URU=Uruguay "
    "USA=États-Unis EU=Union_européenne UE=Union_européenne UZB=Ouzbékistan VEN=Venezuela VIE=Viêt_Nam "
    "VNM=Viêt_Nam WAL=Pays_de_Galles YUG=Yougoslavie SYR=Syrie TPE=Taipei_chinois TWN=Taïwan SMR=Saint-Marin "
    "VAT=Vatican SAU=Arabie_saoudite KSA=Arabie_saoudite LBY=Libye MTN=Mauritanie NIG=Niger NER=Niger "
    "RDC=République_démocratique_du_Congo"
)
# ISO and IOC codes of three letters, and the two-letter ones that templates use
COUNTRIES = dict(pair.split("=") for pair in _CODES.split())
_NAMES = frozenset(name.replace("_", " ") for name in COUNTRIES.values())


def country(code: str) -> str:
    """« France » of « FRA »; anything else as it stands."""
    return COUNTRIES.get(code, code).replace("_", " ")


def known(name: str) -> bool:
    """Whether {{name}} is a country's own template, by its code or its name: {{FRA}}, {{Pays-Bas}}."""
    return name in COUNTRIES or name in _NAMES


def flagged(arguments: Arguments) -> str:
    """{{pays|FRA}}, {{JO|CHI|hiver de 1968}}: the country's name, its flag left out."""
    return country(first(arguments, "texte", "1"))


def twin_town(arguments: Arguments) -> str:
    """{{jumelage|Stockport|UK|année=1972}} -> « Stockport (Royaume-Uni) depuis 1972 »."""
    town = first(arguments, "ville", "1")
    place = country(arguments.get("2", ""))
    since = first(arguments, "année", "année1", "3")
    return town + (f" ({place})" if place else "") + (f" depuis {since}" if since and place else "")
