"""Templates: sentences that are asked for correctly, and sentences that are better not asked for."""

import pytest

from holdfast.data.making.questions import facts

ASKED = {
    "Refunds take 30 days.": ("number", "How long do refunds take?", "30 days"),
    "The trial period lasts up to 3 months.": ("number", "How long does the trial period last?", "up to 3 months"),
    "The refund period is 14 days.": ("number", "How long is the refund period?", "14 days"),
    "The express fee is 20 euros per parcel.": ("number", "How much is the express fee?", "20 euros"),
    "The minimum age is 18 years.": ("number", "What is the minimum age?", "18 years"),
    "The VAT rate is 19 percent.": ("number", "What is the VAT rate?", "19 percent"),
    "A standard parcel costs 4.90 euros.": ("number", "How much does a standard parcel cost?", "4.90 euros"),
    "Each team has three leads.": ("number", "How many leads does each team have?", "three leads"),
    "Employees must submit reports within 30 days of travel.": (
        "number",
        "How soon must employees submit reports?",
        "within 30 days",
    ),
    "Employees may carry over up to five days to the next year.": (
        "number",
        "How many days may employees carry over to the next year?",
        "up to five days",
    ),
    "Passwords must have at least 12 characters.": (
        "number",
        "How many characters must passwords have?",
        "at least 12 characters",
    ),
    "Tax records must be kept for 10 years.": ("number", "For how long must tax records be kept?", "10 years"),
    "The office opens at 9:00 on weekdays.": ("date", "When does the office open?", "at 9:00 on weekdays"),
    "The company was founded in 1998.": ("date", "When was the company founded?", "in 1998"),
    "A purchase order is a document that a buyer sends.": ("definition", "What is a purchase order?", ""),
    "SLA stands for service level agreement.": ("definition", "What does SLA stand for?", "service level agreement"),
    "Contractors must not share passwords.": ("duty", "What must contractors not do?", ""),
    "Visitors cannot enter the lab without a badge.": ("duty", "What can visitors not do?", ""),
    "Members of the board must disclose conflicts of interest.": ("duty", "What must members of the board do?", ""),
    "The Board shall elect a new chair.": ("duty", "What shall the Board do?", ""),
}


@pytest.mark.parametrize("sentence", ASKED)
def test_a_sentence_is_asked_for(sentence):
    (fact,) = facts(sentence)
    assert (fact.kind, fact.question, fact.short) == ASKED[sentence]
    assert fact.sentence == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "They take 30 days.",
        "This fee is 20 euros.",
        "If the fee is a problem, call the office.",
        "The problem is that nobody knows the answer.",
        "Make sure the manager is a member.",
        "Sign the form and the manager is a witness.",
        "In winter, the shop closes at 17:00.",
        "However, refunds take 30 days.",
        "What the manager says is a rule.",
        "Managers can approve requests up to 5,000 euros.",
        "Nerve damage may lead to contractures.",
        "Employees must be honest at all times.",
        "Adoption doesn't mean helping anybody.",
        "Anna Smith is a singer of folk songs.",
        "The facility is a purpose-built hall.",
        "Coffee is a very good drink in the morning.",
        "Virgil refers to Achilles as a savage man.",
        "Is the fee a problem for the manager?",
        "Refunds take 30 days",
        "refunds take 30 days.",
        "The rate is 5 (see page 2.",
        "Refunds take 30 days.The rest is quick.",
        "Urlaub ist die bezahlte Freistellung von der Arbeit.",
        "استرداد وجه سی روز طول می‌کشد.",
    ],
)
def test_a_sentence_that_cannot_be_asked_for_surely_is_left_alone(sentence):
    assert list(facts(sentence)) == []


def test_a_clause_says_the_same_within_a_sentence():
    assert [fact.clause for fact in facts("Refunds take 30 days. Visitors cannot enter the lab.")] == [
        "how long refunds take",
        "what visitors cannot do",
    ]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Acme is a maker of tools. People like Acme.", "What is Acme?"),
        ("Obesity is a disease of the metabolism. The term obesity is old.", "What is obesity?"),
        ("Linear Motion Control is a method of driving tools.", ""),
        ("Siemens must report to the office. We ask Siemens for it.", ""),
        ("Suppliers must report to the office.", "What must suppliers do?"),
    ],
)
def test_names_keep_their_capital_and_plain_nouns_lose_it(text, question):
    found = [fact.question for fact in facts(text)]
    assert found[:1] == ([question] if question else [])


@pytest.mark.parametrize("text", ["", "\x00", "🎉" * 500, "a" * 60_000, ". " * 15_000, "The " * 15_000 + "is a dog."])
def test_odd_text_makes_no_question_and_no_error(text):
    assert list(facts(text)) == []
