"""National numbers of persons, each with its form and check digit; those of one check digit count beside a word only.

One number of eleven passes a check modulo eleven by chance, and numbers of orders and tickets are everywhere. So a
form without letters or separators of its own counts where a word before it says what it is ("BSN", "کد ملی"), and
stays below the default threshold elsewhere.

| kind | form and check | source |
|---|---|---|
| be_nrn | YY.MM.DD-NNN.CC, CC = 97 - N mod 97, from 2000 on with a 2 before N | Royal Decree of 3 April 1984 |
| br_cpf | NNN.NNN.NNN-CC, two digits modulo 11 | Receita Federal, IN RFB 2172/2024 |
| ca_sin | NNN NNN NNN, Luhn | Service Canada, SIN code of practice |
| ch_ahv | 756.NNNN.NNNN.NC, EAN-13 | Swiss AHVV, art. 133 |
| cn_id | 17 digits with date of birth, and one of ISO 7064 MOD 11-2 | GB 11643-1999 |
| de_tax_id | 11 digits, one of the first ten two or three times, ISO 7064 MOD 11,10 | BZSt, § 139b AO |
| es_dni | 8 digits (NIE: X, Y or Z and 7) and the letter N mod 23 | Real Decreto 1553/2005 |
| fi_hetu | DDMMYY, a sign of the century, NNN and N mod 31 | DVV; the signs of 2023 included |
| fr_nir | 13 digits (Corsica 2A, 2B) and the key 97 - N mod 97 | INSEE, décret 82-103 |
| in_aadhaar | 12 digits, not from 0 or 1 on, Verhoeff | UIDAI |
| ir_melli | 10 digits, the sum of weights 10 to 2 modulo 11 | sabteahval.ir |
| it_codice_fiscale | 16 characters, the last of odd and even tables | D.M. 23 December 1976 |
| nl_bsn | 9 digits, weights 9 to 2 and -1 modulo 11 | Wet algemene bepalingen BSN |
| pl_pesel | 11 digits with date of birth, weights 1 3 7 9 modulo 10 | gov.pl, PESEL |
| se_personnummer | YYMMDD-NNNC, Luhn | Skatteverket SKV 704 |
| tr_kimlik | 11 digits, two check digits | Law 5490 |
| uk_nhs | 10 digits, weights 10 to 2 modulo 11 | NHS data dictionary |
| uk_nino | two letters, 6 digits, A to D; no check digit, letters by rule | HMRC NIM39110 |
| us_ssn | AAA-GG-SSSS; no check digit, ranges that are never given out | SSA POMS RM 10201.035 |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from holdfast.data.pii.check_digits import digits_of, luhn, mod_11_2, mod_11_10, verhoeff, weighted
from holdfast.data.pii.spans import FAIR, LIKELY, SURE, WEAK, Recogniser, words

if TYPE_CHECKING:
    from collections.abc import Callable

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_LETTERS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CF_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21) * 2 + (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)


def us_ssn(text: str) -> bool:
    """Whether area, group and serial number are ones that are given out."""
    number = digits_of(text)
    area = int(number[:3])
    return area not in (0, 666) and area < 900 and number[3:5] != "00" and number[5:] != "0000"


def uk_nino(text: str) -> bool:
    """Whether the prefix is one that is given out."""
    return text[:2].upper() not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def uk_nhs(text: str) -> bool:
    """Whether the tenth digit is 11 less the weighted sum modulo 11."""
    number = digits_of(text)
    return (11 - weighted(number, range(10, 1, -1)) % 11) % 11 == int(number[9]) and len(set(number)) > 1


def de_tax_id(text: str) -> bool:
    """Whether one digit of the first ten stands there two or three times, no other twice, and the check digit fits."""
    number = digits_of(text)
    counts = sorted(number[:10].count(digit) for digit in set(number[:10]))
    return number[0] != "0" and counts[-1] in (2, 3) and counts[:-1].count(1) == len(counts) - 1 and mod_11_10(number)


def fr_nir(text: str) -> bool:
    """Whether the key is 97 less the number modulo 97; departments 2A and 2B count as 19 and 18."""
    letters = re.sub(r"[\s.]", "", text).upper().replace("2A", "19", 1).replace("2B", "18", 1)
    return letters.isdecimal() and len(letters) == 15 and 97 - int(letters[:13]) % 97 == int(letters[13:])


def es_dni(text: str) -> bool:
    """Whether the letter is the number's, modulo 23; X, Y and Z of a NIE count as 0, 1 and 2."""
    compact = re.sub(r"[-.\s]", "", text).upper()
    number = compact[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(number) % 23] == compact[-1]


def it_codice_fiscale(text: str) -> bool:
    """Whether the sixteenth letter is the sum of the odd places' table and the even places' values, modulo 26."""
    code = text.upper()
    total = sum(_CF_ODD[letter] for letter in code[0:15:2])
    total += sum(int(letter) if letter.isdecimal() else ord(letter) - 65 for letter in code[1:15:2])
    return chr(65 + total % 26) == code[15]


def nl_bsn(text: str) -> bool:
    """Whether the sum of weights 9 to 2 and -1 is a multiple of 11."""
    number = digits_of(text)
    return weighted(number, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and int(number) > 0


def be_nrn(text: str) -> bool:
    """Whether the last two digits are 97 less the first nine modulo 97, of either century."""
    number = digits_of(text)
    check = int(number[9:])
    return check in (97 - int(number[:9]) % 97, 97 - int(f"2{number[:9]}") % 97)


def pl_pesel(text: str) -> bool:
    """Whether month and day can be, and the weighted sum is a multiple of 10."""
    number = digits_of(text)
    month, day = int(number[2:4]) % 20, int(number[4:6])
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
    return 1 <= month <= 12 and 1 <= day <= 31 and weighted(number, weights) % 10 == 0


def se_personnummer(text: str) -> bool:
    """Whether month and day can be (60 more in a coordination number), and the last ten digits pass Luhn's test."""
    number = digits_of(text)[-10:]
    return 1 <= int(number[2:4]) <= 12 and 1 <= int(number[4:6]) % 60 <= 31 and luhn(number)


def fi_hetu(text: str) -> bool:
    """Whether the last character is the nine digits' one, modulo 31."""
    number = text[:6] + text[7:10]
    return (
        1 <= int(text[:2]) <= 31 and 1 <= int(text[2:4]) <= 12 and _HETU_LETTERS[int(number) % 31] == text[10].upper()
    )


def ir_melli(text: str) -> bool:
    """Whether the tenth digit is the weighted sum's remainder by 11, or from 2 on 11 less it."""
    number = digits_of(text)
    remainder = weighted(number, range(10, 1, -1)) % 11
    return len(set(number)) > 1 and int(number[9]) == (remainder if remainder < 2 else 11 - remainder)


def in_aadhaar(text: str) -> bool:
    """Whether the twelve digits pass Verhoeff's test and are no palindrome, which are not given out."""
    number = digits_of(text)
    return number[0] not in "01" and number != number[::-1] and verhoeff(number)


def br_cpf(text: str) -> bool:
    """Whether both check digits are ten times the weighted sum modulo 11, 10 read as 0."""
    number = digits_of(text)
    checks = [weighted(number, range(length + 1, 1, -1)) * 10 % 11 % 10 for length in (9, 10)]
    return len(set(number)) > 1 and checks == [int(number[9]), int(number[10])]


def tr_kimlik(text: str) -> bool:
    """Whether the tenth digit is 7 times the odd places less the even ones, and the eleventh the sum of the ten."""
    number = [int(digit) for digit in digits_of(text)]
    tenth = (7 * sum(number[0:9:2]) - sum(number[1:8:2])) % 10
    return number[0] != 0 and number[9] == tenth and number[10] == sum(number[:10]) % 10


def ca_sin(text: str) -> bool:
    """Whether the nine digits pass Luhn's test and begin with a digit that is given out."""
    number = digits_of(text)
    return number[0] not in "08" and luhn(number)


def ch_ahv(text: str) -> bool:
    """Whether the thirteen digits are an EAN-13."""
    return weighted(digits_of(text), (1, 3) * 6 + (1,)) % 10 == 0


def cn_id(text: str) -> bool:
    """Whether the date of birth can be, and the last character is right."""
    return 1 <= int(text[10:12]) <= 12 and 1 <= int(text[12:14]) <= 31 and mod_11_2(text)


def _form(
    kind: str, digits: int, form: str, test: Callable[[str], bool], context: str, *, alone: float = WEAK
) -> Recogniser:
    pattern = re.compile(rf"(?<![\w.+\-/])(?:{form})(?![\w/]|[.\-]\w)", re.IGNORECASE)
    return Recogniser(kind, pattern, alone, test, words(*context.split("|")), digits=digits)


_SSN = r"ssns?|social security(?: (?:number|no\.?|#))?|social"
RECOGNISERS = (
    _form("us_ssn", 9, r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}", us_ssn, _SSN, alone=LIKELY),
    _form("us_ssn", 9, r"\d{9}", us_ssn, _SSN),
    _form(
        "uk_nino",
        6,
        r"[a-ceghj-prtw-z][a-ceghj-nprtw-z] ?\d{2} ?\d{2} ?\d{2} ?[a-d]",
        uk_nino,
        r"nino?|national insurance\w*",
        alone=LIKELY,
    ),
    _form("uk_nhs", 10, r"\d{3}[ -]?\d{3}[ -]?\d{4}", uk_nhs, r"nhs(?: (?:number|no\.?))?"),
    _form(
        "de_tax_id",
        11,
        r"\d{11}|\d{2} \d{3} \d{3} \d{3}",
        de_tax_id,
        r"steuer-?\s?id\w*|idnr\.?|identifikationsnummer|tax id\w*|tin",
    ),
    _form(
        "fr_nir",
        14,
        r"[12478] ?\d\d ?[0-9]\d ?(?:\d\d|2[ab]) ?\d{3} ?\d{3} ?\d\d",
        fr_nir,
        r"nir|s[ée]cu(?:rit[ée] sociale)?|insee",
        alone=LIKELY,
    ),
    _form(
        "es_dni",
        7,
        r"\d{8}[- ]?[a-z]|\d{2}\.\d{3}\.\d{3}-?[a-z]|[xyz][- ]?\d{7}[- ]?[a-z]",
        es_dni,
        r"dni|nie|nif|documento",
        alone=LIKELY,
    ),
    _form(
        "it_codice_fiscale",
        1,
        r"[a-z]{6}[\dlmnp-v]{2}[a-ehlmprst][\dlmnp-v]{2}[a-z][\dlmnp-v]{3}[a-z]",
        it_codice_fiscale,
        r"codice fiscale|c\.?f\.?",
        alone=SURE,
    ),
    _form("nl_bsn", 9, r"\d{9}|\d{4}\.\d{2}\.\d{3}", nl_bsn, r"bsn|burgerservicenummer|sofi-?nummer"),
    _form(
        "be_nrn",
        11,
        r"\d\d\.[0-6]\d\.[0-3]\d-\d{3}\.\d\d",
        be_nrn,
        r"rijksregister\w*|registre national|niss|insz",
        alone=SURE,
    ),
    _form("be_nrn", 11, r"\d{11}", be_nrn, r"rijksregister\w*|registre national|niss|insz"),
    _form("pl_pesel", 11, r"\d{11}", pl_pesel, r"pesel(?:\w*)"),
    _form(
        "se_personnummer",
        10,
        r"(?:19|20)?\d\d[01]\d[0-9]\d[-+]\d{4}",
        se_personnummer,
        r"personnummer|samordningsnummer|pnr",
        alone=LIKELY,
    ),
    _form(
        "se_personnummer",
        10,
        r"(?:19|20)?\d\d[01]\d[0-9]\d\d{4}",
        se_personnummer,
        r"personnummer|samordningsnummer|pnr",
    ),
    _form("fi_hetu", 9, r"[0-3]\d[01]\d\d\d[-+a-fu-y]\d{3}[0-9a-y]", fi_hetu, r"hetu|henkil[öo]tunnus", alone=LIKELY),
    _form(
        "ir_melli",
        10,
        r"\d{10}|\d{3}-\d{6}-\d",
        ir_melli,
        r"کد\s?‌?ملی|شماره\s?‌?ملی|کدملی|(?:code|kod) ?e? ?mell?i|melli code|national (?:code|id)",
    ),
    _form("in_aadhaar", 12, r"\d{4} \d{4} \d{4}", in_aadhaar, r"aa?dh?aa?r|uidai|आधार", alone=FAIR),
    _form("in_aadhaar", 12, r"\d{12}", in_aadhaar, r"aa?dh?aa?r|uidai|आधार"),
    _form("br_cpf", 11, r"\d{3}\.\d{3}\.\d{3}-\d{2}", br_cpf, r"cpf", alone=SURE),
    _form("br_cpf", 11, r"\d{11}", br_cpf, r"cpf"),
    _form(
        "tr_kimlik",
        11,
        r"[1-9]\d{10}",
        tr_kimlik,
        r"t\.?c\.?(?: ?k\.?n\.?)?|t[üu]rk\w* kimlik\w*|kimlik(?: (?:no|numaras\w*))?",
    ),
    _form("ca_sin", 9, r"\d{3}[- ]?\d{3}[- ]?\d{3}", ca_sin, r"sin|social insurance(?: number)?|nas"),
    _form("ch_ahv", 13, r"756[.]?\d{4}[.]?\d{4}[.]?\d{2}", ch_ahv, r"ahv\w*|avs|sozialversicherung\w*", alone=LIKELY),
    _form("cn_id", 17, r"[1-9]\d{5}(?:18|19|20)\d{9}[\dx]", cn_id, r"身份证\w*|id card|identity card", alone=LIKELY),
)
