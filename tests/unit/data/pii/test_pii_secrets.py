"""Keys and passwords are found by their forms; words, variables and placeholders are left."""

import base64
import json

import pytest

from holdfast.data.pii.find import find
from holdfast.data.pii.kinds import SECRETS
from holdfast.data.pii.secrets import entropy, is_jwt, looks_secret

LETTERS = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


# Put together here, so that no scanner of repositories takes them for real ones.
KEYS = [
    ("aws_key", "AKIA" + "IOSFODNN7EXAMPLE".replace("7", "6")),
    ("azure_key", "abc" + "8Q~" + LETTERS[:34]),
    ("gcp_key", "AIza" + LETTERS[:35]),
    ("github_token", "ghp" + "_" + LETTERS[:36]),
    ("github_token", "github" + "_pat_" + LETTERS[:22] + "_" + (LETTERS * 2)[:59]),
    ("gitlab_token", "glpat" + "-" + LETTERS[:20]),
    ("slack_token", "xoxb" + "-123456789012-" + LETTERS[:24]),
    ("stripe_key", "sk" + "_live_" + LETTERS[:24]),
    ("openai_key", "sk" + "-proj-" + LETTERS),
    ("openai_key", "sk" + "-" + LETTERS),
    ("service_token", "npm" + "_" + LETTERS[:36]),
    ("jwt", f"{encoded({'alg': 'HS256'})}.{encoded({'sub': '1234567890'})}.{LETTERS[:30]}"),
]


@pytest.mark.parametrize(("kind", "key"), KEYS)
def test_a_key_of_a_known_form_is_found_whole(kind, key):
    assert [(span.kind, span.text) for span in find(f"use {key}, please", kinds=set(SECRETS))] == [(kind, key)]


def test_an_aws_secret_counts_beside_its_name_only():
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "0123456789"
    assert [span.kind for span in find(f"aws_secret_access_key={key}", kinds={"aws_key"})] == ["aws_key"]
    assert not find(f"sha {key}", kinds={"aws_key"})


@pytest.mark.parametrize("end", ["-----END RSA PRIVATE KEY-----", ""])
def test_a_private_key_is_taken_to_its_end_or_as_far_as_it_goes(end):
    block = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIE\nabc+/=\n" * 20 + end
    spans = find(f"key:\n{block}! after", kinds={"private_key"})
    assert [span.text for span in spans] == [block]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("password = 'hunter2!x'", "hunter2!x"),
        ('{"api_key": "Ab12Cd34Ef56"}', "Ab12Cd34Ef56"),
        ("DB_PASSWORD=pa55w0rd_x", "pa55w0rd_x"),
        ("my password is Tr0ub4dor&3", "Tr0ub4dor&3"),
        ("Passwort: Sommer2024!", "Sommer2024!"),
        ("client-secret: 8f14e45fceea167a", "8f14e45fceea167a"),
    ],
)
def test_a_value_assigned_to_a_secrets_name_is_found(text, value):
    assert [span.text for span in find(text, kinds={"password"})] == [value]


@pytest.mark.parametrize(
    "text",
    [
        "password: required",
        "password = get_password()",
        "password is incorrect",
        "token = tokenizer.encode",
        "api_key = os.environ['KEY_1']",
        "api_key=${API_KEY_1}",
        "password: <your-password-1>",
        "password: ********",
        "secret: [PASSWORD_1]",
        "password = your_password1",
        "token: aaaaaaaaaaa1",
        "the secret: being kind",
        "The password is a string of letters",
    ],
)
def test_words_variables_and_placeholders_are_no_secrets(text):
    assert not find(text, kinds=set(SECRETS))


def test_entropy_is_counted_in_bits_a_character():
    assert entropy("aabb") == 1.0
    assert entropy("hunter2") == pytest.approx(2.807, abs=1e-3)  # log2 of 7 different ones
    assert not looks_secret("aaaaaaa1")


def test_three_parts_are_a_token_only_where_the_first_is_json_that_names_an_algorithm():
    assert is_jwt(f"{encoded({'alg': 'none'})}.x.y")
    assert not is_jwt(f"{encoded({'no': 1})}.x.y")
    assert not is_jwt("eyJ####.x.y")
