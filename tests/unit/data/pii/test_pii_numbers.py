"""Numbers that check themselves: examples from their authorities, and every single wrong digit found out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.data.pii import national_ids, payment
from holdfast.data.pii.check_digits import luhn, mod_11_2, mod_11_10, mod_97_10, verhoeff, weighted
from holdfast.data.pii.contacts import is_international, is_mac, is_phone, is_public_ip
from holdfast.data.pii.find import find
from holdfast.data.pii.kinds import NATIONAL_IDS

# kind, number, the same with a wrong check digit or out of range, the words that say what it is
IDS = [
    ("be_nrn", "85.07.30-033.28", "85.07.30-033.29", ""),
    ("br_cpf", "529.982.247-25", "529.982.247-26", ""),
    ("br_cpf", "52998224725", "52998224724", "CPF "),
    ("ca_sin", "130 692 544", "130 692 545", "SIN: "),
    ("ch_ahv", "756.9217.0769.85", "756.9217.0769.84", ""),
    ("cn_id", "11010519491231002X", "110105194912310021", ""),
    ("de_tax_id", "86095742719", "86095742718", "Steuer-ID "),
    ("de_tax_id", "47 036 892 816", "47 036 892 815", "IdNr. "),
    ("es_dni", "12345678Z", "12345678A", ""),
    ("es_dni", "X1234567L", "X1234567M", ""),
    ("fi_hetu", "131052-308T", "131052-308U", ""),
    ("fr_nir", "2 55 08 14 168 025 38", "2 55 08 14 168 025 39", ""),
    ("in_aadhaar", "2341 2341 2346", "2341 2341 2347", ""),
    ("ir_melli", "0013542419", "0013542418", "کد ملی "),
    ("ir_melli", "۰۰۱۳۵۴۲۴۱۹", "۰۰۱۳۵۴۲۴۱۸", "کد ملی "),
    ("it_codice_fiscale", "RSSMRA85T10A562S", "RSSMRA85T10A562T", ""),
    ("nl_bsn", "111222333", "111222334", "BSN "),
    ("pl_pesel", "44051401359", "44051401358", "PESEL: "),
    ("se_personnummer", "811218-9876", "811218-9877", ""),
    ("tr_kimlik", "10000000146", "10000000147", "TC kimlik no "),
    ("uk_nhs", "943 476 5919", "943 476 5918", "NHS number "),
    ("uk_nino", "AB 12 34 56 C", "GB 12 34 56 C", ""),
    ("us_ssn", "078-05-1120", "666-05-1120", ""),
]


@pytest.mark.parametrize(("kind", "number", "wrong", "said"), IDS)
def test_a_national_number_is_found_and_a_wrong_one_is_not(kind, number, wrong, said):
    found = find(f"It is {said}{number}, thanks.", kinds={kind})
    assert [(span.kind, span.text) for span in found] == [(kind, number)]
    assert not find(f"It is {said}{wrong}, thanks.", kinds={kind})


def test_every_national_kind_has_an_example():
    assert {kind for kind, *_ in IDS} == set(NATIONAL_IDS)


@pytest.mark.parametrize(("kind", "number"), [(k, n) for k, n, _, said in IDS if said])
def test_a_number_of_one_check_digit_does_not_count_without_a_word_beside_it(kind, number):
    assert not find(f"Order {number} was sent", kinds={kind})


def test_two_weak_letters_of_corsica_count_as_19_and_18():
    key = 97 - int("2550819168025") % 97
    assert national_ids.fr_nir(f"255082A168025{key:02d}")


@given(st.integers(0, 10**12).map(str), st.data())
def test_every_single_wrong_digit_fails_luhn(digits, data):
    check = next(str(c) for c in range(10) if luhn(digits + str(c)))
    number = digits + check
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != number[place]]))
    assert luhn(number)
    assert not luhn(number[:place] + other + number[place + 1 :])


@given(st.text("0123456789", min_size=2, max_size=14), st.data())
def test_exactly_one_verhoeff_digit_fits_and_neighbours_may_not_be_swapped(digits, data):
    fits = [str(c) for c in range(10) if verhoeff(digits + str(c))]
    assert len(fits) == 1
    number = digits + fits[0]
    place = data.draw(st.integers(0, len(number) - 2))
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    assert swapped == number or not verhoeff(swapped)


def test_the_iso_7064_examples():
    assert mod_11_2("07940")
    assert mod_11_10("07945")
    assert mod_97_10("3214282912345698765432161182")  # GB82 WEST 1234 5698 7654 32, turned round, letters as numbers
    assert weighted("943476591", range(10, 1, -1)) == 90 + 36 + 24 + 28 + 42 + 30 + 20 + 27 + 2


CARDS = ["4111111111111111", "5555 5555 5555 4444", "3782-822463-10005", "6011111111111117", "3530111333300000"]


@pytest.mark.parametrize("number", CARDS)
def test_a_card_is_found_alone_and_with_a_security_code_or_date_behind_it(number):
    for text in (number, f"pay {number} 123 12/26", f"({number})"):
        assert [span.text for span in find(text, kinds={"card"})] == [number]


def test_a_card_with_a_wrong_digit_or_no_networks_prefix_is_none():
    assert not payment.is_card("4111111111111112")
    assert not payment.is_card("1111111111111117")
    assert not find("4111 1111 1111 1112", kinds={"card"})


def test_a_maestro_number_counts_beside_a_word_only():
    assert [span.text for span in find("card 630427373398 is lost", kinds={"card"})] == ["630427373398"]
    assert not find("item 630427373398 is lost", kinds={"card"})


@pytest.mark.parametrize(
    "iban",
    ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "nl91abna0417164300", "IR062960000000100324200001"],
)
def test_an_iban_ends_where_its_country_says(iban):
    assert [span.text for span in find(f"IBAN {iban} for rent", kinds={"iban"})] == [iban]
    assert not find(f"IBAN {iban}0 for rent", kinds={"iban"})
    wrong = iban[:-1] + ("1" if iban[-1] != "1" else "2")
    assert not find(wrong, kinds={"iban"})


def test_telephone_numbers_with_and_without_a_word_beside_them():
    alone = [
        "+41 (0)96 471 07 95",
        "905-674-3793",
        "(541) 714-1388 x12",
        "0049 30 1234567",
        "04 90 75 40 81",
        "07700 900123",
    ]
    for number in alone:
        assert [span.text for span in find(f"or {number}.", kinds={"phone"})] == [number]
    for number in ("467 3395", "699 956 915", "9498777106", "60-56-85-91"):
        assert [span.text for span in find(f"call me at {number}", kinds={"phone"})] == [number]
        assert not find(f"the sum {number}", kinds={"phone"})


@pytest.mark.parametrize(
    "text", ["2007-01-17", "call on 17.01.2007", "1,000,000", "call 000 0000", "v1.2.3.4", "$905.674.3793"]
)
def test_dates_amounts_and_versions_are_no_telephone_numbers(text):
    assert not find(text, kinds={"phone"})


def test_the_parts_of_the_number_tests():
    assert is_phone("467 3395")
    assert not is_phone("123456")
    assert not is_international("+41 (0 96 471 07 95")
    assert is_public_ip("2001:db8::1")
    assert not is_public_ip("999.1.1.1")
    assert not is_public_ip("255.255.255.0")
    assert not is_mac("ff:ff:ff:ff:ff:ff")
