"""Sensitive patterns, masked by choice: addresses and numbers that belong to one person. Not names, not secrets.

A number that carries a check digit is masked only where the check holds. What takes its place looks like the thing,
so that a model learns the form, and is reserved: no one has that address, and a second pass leaves it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from types import MappingProxyType

from jarvis_nano.errors import UserError

PLACEHOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "email": "email@example.com",  # RFC 2606: example.com is no one's; FineWeb's choice too
        "iban": "FR00 0000 0000 0000 0000 0000 000",  # no IBAN has the check digits 00
        "card": "0000 0000 0000 0000",  # no issuer begins with 0
        "nir": "0 00 00 00 000 000 00",  # a social security number begins with 1 or 2
        "phone": "01 99 00 00 00",  # of the numbers that Arcep, the French regulator, keeps for fiction
        "ip": "192.0.2.1",  # RFC 5737: for documentation
    }
)
KINDS = tuple(PLACEHOLDERS)

_RESERVED_DOMAIN = re.compile(r"[@.](?:example\.(?:com|net|org)|[\w-]+\.(?:example|test|invalid|localhost))$", re.I)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+'-]{1,256}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")

# ISO 13616, the registry of IBAN lengths: Europe, and where French is spoken.
_COUNTRIES = (
    "AD:24 AT:20 BE:16 BG:22 BJ:28 BF:28 BI:27 CH:21 CI:28 CM:27 CG:27 CY:28 CZ:24 DE:22 DK:18 DZ:26 EE:20 ES:24 "
    "FI:18 FO:18 FR:27 GA:27 GB:22 GI:23 GL:18 GR:27 HR:21 HU:28 IE:22 IL:23 IS:26 IT:27 LB:28 LI:21 LT:20 LU:20 "
    "LV:21 MA:28 MC:27 MG:27 ML:28 MR:27 MT:31 NE:28 NL:18 NO:15 PL:28 PT:25 RO:24 SE:24 SI:19 SK:24 SM:27 SN:28 "
    "TD:27 TG:28 TN:24 TR:26 UA:29"
)
_IBAN_LENGTHS = {pair[:2]: int(pair[3:]) for pair in _COUNTRIES.split()}
# The patterns below take a first character and then look behind it, for a search that begins with a set of characters
# is several times faster than one that begins with a look behind.
_IBAN = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d\d(?:[ \u00a0\u202f]?[A-Z0-9]){11,27}")

_SPACE = "[ \u00a0\u202f]"
_CARD = re.compile(
    r"[2-6](?<![\w.,/-].)(?:\d{3}([ \u00a0-]?)\d{4}\1\d{4}\1\d{4}|(?<=3)[47]\d\d([ -]?)\d{6}\2\d{5})"
    r"(?![ \u00a0-]?\d|\w)"
)
_NIR = re.compile(
    rf"[12](?<![\w.,/-].){_SPACE}?\d\d{_SPACE}?(?:0[1-9]|1[0-2]|[2-9]\d){_SPACE}?(?:\d\d|2[AB]){_SPACE}?\d{{3}}{_SPACE}?\d{{3}}"
    rf"{_SPACE}?\d\d(?!\w)"
)
_FRENCH_PHONE = re.compile(
    r"[+0](?<![\w.,/+-].)(?<!\d[ \u00a0\u202f].)"
    r"(?:(?:(?<=\+)|0)33[ .\u00a0\u202f-]?(?:\(0\)[ \u00a0]?)?|(?<=0))([1-9])"
    r"([ .\u00a0\u202f-]?)\d\d(?:\2\d\d){3}(?![ .\u00a0\u202f,-]?\d|\w)"
)
_INTERNATIONAL = re.compile(r"\+(?<![\w+].)[1-9](?:[ .\u00a0\u202f-]?(?:\(\d{1,4}\)|\d)){7,15}(?![ .-]?\d|\w)")
_THOUSANDS = re.compile(r"\+\d{1,3}(?:[ .\u00a0\u202f]\d{3})+")
# Kept for fiction: 01 99 00, 02 61 91, 03 53 01, 04 65 71, 05 36 49, 06 39 98.
_FICTION = re.compile(r"(?:0|33|0033)(?:19900|26191|35301|46571|53649|63998)\d{4}")
_NO_PHONE_AFTER = re.compile(
    r"(?:isbn|issn|ean|siren|siret|rcs|réf|ref|article|code|notice|bnf|ark|doi|oclc)\W{0,9}\w{0,10}\W{0,9}$", re.I
)

_IPV4 = re.compile(r"\d(?<![\w.].)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?!\w|\.\d)")
_IPV6 = re.compile(r"[23](?<![\w:.].)[0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{1,4}(?![\w:])")  # 2000::/3
_VERSION_BEFORE = re.compile(r"(?:version|v|release|section|chapitre|§)\W{0,3}$", re.I)
_MANY_DIGITS = re.compile(r"\d(?:\D{0,2}\d){4}|::")  # every kind of number has five digits, two marks between at most


def mask(text: str, kinds: Iterable[str] = KINDS) -> tuple[str, Counter[str]]:
    """`text` with each pattern of `kinds` replaced by its placeholder, and how many of each kind there were.

    UserError on a kind that is not in KINDS.
    """
    asked = {kinds} if isinstance(kinds, str) else set(kinds)
    unknown = sorted(asked - PLACEHOLDERS.keys())
    if unknown:
        raise UserError(f"no sensitive kind is named {', '.join(unknown)}; the kinds are: {', '.join(KINDS)}")
    found: Counter[str] = Counter()
    numbers = _MANY_DIGITS.search(text) is not None
    for kind in KINDS:
        if kind in asked and ("@" in text if kind == "email" else numbers):
            for pattern, find in _FINDERS[kind]:
                text = pattern.sub(_replacer(kind, find, found), text)
    return text, found


# What a finder returns: how many characters of the match, from its beginning, are the sensitive thing; 0 for none.
Finder = Callable[[re.Match[str]], int]


def _replacer(kind: str, find: Finder, found: Counter[str]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        size = find(match)
        if not size:
            return match.group()
        found[kind] += 1
        return PLACEHOLDERS[kind] + match.group()[size:]

    return replace


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def _email(match: re.Match[str]) -> int:
    return 0 if _RESERVED_DOMAIN.search(match.group()) else len(match.group())


def _iban(match: re.Match[str]) -> int:
    """ISO 13616: with the first four characters moved to the end and letters as 10 … 35, the number is 1 modulo 97."""
    length = _IBAN_LENGTHS.get(match.group()[:2], 0)
    letters, end = "", 0
    while len(letters) < length and end < len(match.group()):
        letters += match.group()[end].strip()
        end += 1
    if len(letters) != length or match.group()[end : end + 1].isalnum():
        return 0
    number = int("".join(str(int(c, 36)) for c in letters[4:] + letters[:4]))
    return end if number % 97 == 1 and letters[2:4] != "00" else 0


def _card(match: re.Match[str]) -> int:
    """ISO 7812: Luhn's check, and a beginning that an issuer has (Visa, Mastercard, American Express, Discover)."""
    digits = _digits(match.group())
    issued = (
        digits[0] == "4"
        or "51" <= digits[:2] <= "55"
        or "2221" <= digits[:4] <= "2720"
        or digits[:4] == "6011"
        or digits[:2] in ("34", "37", "65")
    )
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    total = sum(map(int, digits[-1::-2])) + sum(n - 9 if n > 9 else n for n in doubled)
    return len(match.group()) if issued and total % 10 == 0 else 0


def _nir(match: re.Match[str]) -> int:
    """The key of a French social security number: 97 less the rest of its 13 digits by 97; 2A is 19 and 2B is 18."""
    number = "".join(c for c in match.group() if c.isalnum()).replace("2A", "19").replace("2B", "18")
    return len(match.group()) if int(number[:13]) % 97 + int(number[13:]) == 97 else 0


def _french_phone(match: re.Match[str]) -> int:
    """Ten digits in pairs, or in one where no word before says that they number something else."""
    digits = _digits(match.group())
    if _FICTION.fullmatch(digits.replace("330", "33", 1) if "(0)" in match.group() else digits):
        return 0
    if not match.group(2) and _NO_PHONE_AFTER.search(match.string[max(0, match.start() - 30) : match.start()]):
        return 0
    return len(match.group())


def _international_phone(match: re.Match[str]) -> int:
    """E.164: a country code and 15 digits at most; +1 has ten after it. +10 000 000 is a count of something."""
    digits = _digits(match.group())
    if _FICTION.fullmatch(digits) or not 9 <= len(digits) <= 15 or (digits[0] == "1" and len(digits) != 11):
        return 0
    if _THOUSANDS.fullmatch(match.group()) and not digits.startswith("33"):
        return 0
    return len(match.group())


def _ip(match: re.Match[str]) -> int:
    """A public address. Where no number is past 30, four numbers are a version or a section."""
    found = match.group()
    if ":" not in found:
        if max(map(int, found.split("."))) <= 30:
            return 0
        if _VERSION_BEFORE.search(match.string[max(0, match.start() - 12) : match.start()]):
            return 0
    try:
        return len(found) if ip_address(found).is_global else 0
    except ValueError:
        return 0


_FINDERS: Mapping[str, tuple[tuple[re.Pattern[str], Finder], ...]] = MappingProxyType(
    {
        "email": ((_EMAIL, _email),),
        "iban": ((_IBAN, _iban),),
        "card": ((_CARD, _card),),
        "nir": ((_NIR, _nir),),
        "phone": ((_FRENCH_PHONE, _french_phone), (_INTERNATIONAL, _international_phone)),
        "ip": ((_IPV4, _ip), (_IPV6, _ip)),
    }
)
