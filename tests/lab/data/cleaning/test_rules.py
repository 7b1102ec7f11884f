import pytest
from ftfy.badness import BADNESS_RE
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data.cleaning.characters import _bad_sequences
from lab.data.cleaning.rule_registry import BY_NAME, RULES
from tests.lab.data.cleaning.cleaning_texts import END, LONG, PARAGRAPH, START, cleaned

HEADER = (
    "The Project Gutenberg eBook of A Book\n\nThese pages are free for all.\n\nTitle: A Book\n\nAuthor: A. Writer\n\n"
    "Release date: May 3, 1999 [eBook #1]\n\nLanguage: English\n\nCredits: Produced by A. Reader\n\n\n"
)
LICENCE = (
    "\nUpdated editions replace older ones.\n\nThe full licence of Project Gutenberg\n\n1. You may copy it.\n\n"
    "The pages have a form for\nour email newsletter to hear about new eBooks.\n"
)
POEM = "so much depends\nupon\n\na red wheel\nbarrow\n\nglazed with rain\nwater\n\nbeside the white\nchickens\n"
DIALOGUE = "ROMEO:\nAy me!\n\nJULIET:\nHe speaks.\n\nROMEO:\nO, speak again!\n\nJULIET:\nAy me!\n"
MARKDOWN = (
    "# Title\n\nA *line* with `code`.\n\n---\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n- three\n- four\n\n"
    "Setext\n======\n\n> quoted\n\n* * *\n\n[link](https://example.org/a_b?c=d#e)\n"
)
CODE = (
    "def f(x):\n"
    "    if x == 1:\n        return {'a': [x]}\n    )\n    }\n\n```\n!@#$%^&*()!@#$%^&*()\nall rights reserved.\n```\n\n"
    "    #$%^&*()!@#$%^&*()\n    Please enable JavaScript in your browser.\n\tx += ((((((((((1))))))))))\n"
)
PYTHON = "import re\nimport os\nimport sys\nimport json\n\n# =================\n# Part\n# ----------------- #\n\n"
HEBREW = "שלום עולם! זה טקסט מימין לשמאל, עם סימני פיסוק.\n"
ARABIC = "مرحبا بالعالم، هذا نص من اليمين إلى اليسار\u200c.\n"
CHINESE = "今天天气很好，我们去公园散步吧。\n春眠不觉晓\n处处闻啼鸟\n夜来风雨声\n花落知多少\n"
HINDI = "नमस्ते दुनिया, यह एक वाक्य है।\n"
EMOJI = "👩‍💻 🎉🎉 ok\n"
CHINESE_LINE = f"{'山上的雪还没有化，河边的柳树已经绿了，' * 3}老人坐在门前。\n"
GOOD = [POEM, DIALOGUE, MARKDOWN, CODE, PYTHON, HEBREW, ARABIC, CHINESE, HINDI, EMOJI, "Plain prose, and a line that goes on.\n"]
"""Texts that every rule leaves as they are."""

CHANGES = {
    "line-endings": [("a\r\nb\rc\n", "a\nb\nc\n"), ("a\r\r\nb\r", "a\n\nb\n")],
    "broken-text": [
        ("Itâ€™s dÃ©jÃ\xa0 vu.\n", "It’s déjà vu.\n"),
        ("schÃ¶n, MÃ¼nchen\nnaïve café\n", "schön, München\nnaïve café\n"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚\n", "Привет\n"),
        ("cafÃ© x\nÀ€ y\n", "café x\nÀ€ y\n"),  # a line end is part of what is wrong with the second one
        ("left \x93quoted\x94 by Windows\n", "left “quoted” by Windows\n"),
    ],
    "control-characters": [
        ("a\x00b\x07c\x7f\n", "abc\n"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\n", "red \n"),
        ("N\x08NA\x08A _\x08x\n", "NA x\n"),
        ("one\x0ctwo\n\x0cthree\n", "one\ntwo\nthree\n"),
        ("in the \ufeffmiddle\n", "in the middle\n"),
    ],
    "nfc": [("Cafe\u0301 A\u030a\n", "Café Å\n"), ("\u1112\u1161\u11ab\n", "한\n"), ("\u212b \u0344\n", "Å \u0308\u0301\n")],
    "gutenberg": [
        (f"Title: A Book\n\n{START}\nText.\n\n{END}Licence.\n", "\nText.\n\n"),
        (
            f"{START}One.\n{END}Licence.\nto our email newsletter to hear about new eBooks.\n\nTitle: B\n{START}Two.\n{END}",
            "One.\nTwo.\n",
        ),
        ("*** START OF THIS PROJECT GUTENBERG EBOOK A VERY\nLONG TITLE ***\nText.\nEnd of Project Gutenberg's A\n", "Text.\n"),
        ("Etext\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\nText.\n", "Text.\n"),
        (f"{HEADER}{START}Text.\n\nEnd of Project Gutenberg's A Book\n\n{END}{LICENCE}", "Text.\n\n"),
        (f"My own words.\n\n{HEADER}{START}Text.\n{END}{LICENCE}My own notes.\n", "My own words.\n\nText.\nMy own notes.\n"),
        (
            f"{HEADER}{START}One.\n{END}My own notes, without a word on what is allowed.\n\n{HEADER}{START}Two.\n",
            "One.\nMy own notes, without a word on what is allowed.\n\nTwo.\n",
        ),
        (f"{HEADER}{START}One.\n\n{START}Two.\n```\n{START}```\n", f"One.\n\nTwo.\n```\n{START}```\n"),
    ],
    "boilerplate": [
        (f"{line}\nText stays.\n", "Text stays.\n")
        for line in (
            "We use cookies to give you the best experience on our website.",
            "This site uses cookies. By continuing to browse, you agree to our use of cookies.",
            "Accept all cookies",
            "Cookie Policy",
            "Please enable JavaScript in your browser to view this page.",
            "JavaScript is disabled in your browser.",
            "This site requires JavaScript.",
            "© 2024 Example Corp. All rights reserved.",
            "Copyright (c) 1999-2003 by A. Writer",
            "All Rights Reserved",
            "Privacy Policy | Terms of Use | Contact us",
            "By clicking Sign up, you agree to our Terms and Privacy Policy.",
            "Share this article on Facebook, Twitter or by e-mail",
            "Follow us on Twitter and Instagram!",
            "Sign up for our weekly newsletter",
            "Skip to main content",
            "Read more »",
            "Advertisement",
            "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
            "Hello! We and our partners use cookies to analyse traffic.",
            "By clicking OK, you accept our cookies.",
            "You need to enable JavaScript to run this app.",
            "Sorry, JavaScript must be enabled to view this page.",
            "Example Corp. All rights reserved.",
            "(c) 2003 Example Corp",
            "Privacy · Terms",
            "Home | Privacy | Cookies",
            "Terms of Service",
            "Read more...",
            "Follow us",
            "Subscribe now",
        )
    ],
    "symbol-lines": [
        ("@#$%^&*()!@#$%\nText\n", "Text\n"),
        ("►►◄◄ ● ● ○ ►►◄◄\n", ""),
        ("'., ;: .~ -' `` ,,\nText\n", "Text\n"),
        (
            "One line.\n~~ % & § # 1 ^ @ !!\nAnother line.\n\n•¤°`·.,•°¤•\n\nThe end.\n",
            "One line.\nAnother line.\n\n\nThe end.\n",
        ),
    ],
    "long-lines": [(f"{'QUJD' * 400}\nText\n", "Text\n"), (f"{'a word ' * 20_000}\nText\n", "Text\n")],
    "short-lines": [
        ("Home\nAbout us\nContact\nLog in\nText goes on here.\n", "Text goes on here.\n"),
        ("Text.\nStartseite\nÜber uns\nPreise\nKontakt\nImpressum\n\nMehr Text.\n", "Text.\n\nMehr Text.\n"),
        ("News\nSport\nLocal\nWeather\nOpinion\nContact\nLog in\n", ""),
    ],
    "emails": [
        ("Write to ann.lee+x@mail.example.co.uk, please.\n", "Write to email@example.com, please.\n"),
        ("<mailto:o'hara@web.de>\n", "<mailto:email@example.com>\n"),
    ],
    "phone-numbers": [
        ("Call +44 20 7946 0958 now.\n", "Call 555-0100 now.\n"),
        ("(212) 736-5000, 212-736-5000, 1-212-736-5000\n", "555-0100, 555-0100, 555-0100\n"),
        ("Tel.: 030 1234567\nPhone: 5551 234\nFax 0711/12345-67\n", "Tel.: 555-0100\nPhone: 555-0100\nFax 555-0100\n"),
        ("+4915112345678\n", "555-0100\n"),
        ("+1.212.736.5000 and +49 30.1234567\n", "555-0100 and 555-0100\n"),
    ],
    "duplicate-paragraphs": [(PARAGRAPH * 3, PARAGRAPH), (f"{PARAGRAPH}Other.\n\n{PARAGRAPH.strip()}", f"{PARAGRAPH}Other.\n\n")],
    "near-duplicates": [(PARAGRAPH + PARAGRAPH.replace("Light", "Darkness").upper(), PARAGRAPH)],
    "duplicate-lines": [
        (f"{LONG}Other.\n  {LONG}", f"{LONG}Other.\n"),
        (f"{LONG}{LONG.strip()}", LONG),
        (f"One.\n\n{LONG}\nTwo\n\n{LONG}\nThree\n{LONG}", f"One.\n\n{LONG}\nTwo\n\n\nThree\n"),
        (f"{CHINESE_LINE}一\n{CHINESE_LINE}", f"{CHINESE_LINE}一\n"),
        (
            "“You can sign in here, to leave your own remark on this story!”\n" * 3,
            "“You can sign in here, to leave your own remark on this story!”\n",
        ),
    ],
    "blank-lines": [
        ("a\n\n\n\nb\n", "a\n\nb\n"),
        ("\n\n \n\t\na\n", "\na\n"),
        ("a\n \n\nb", "a\n \nb"),
        ("    a\n\n\n\nb\n", "    a\n\n\nb\n"),
    ],
}
"""By rule: texts before and after."""

LEFT = {
    "line-endings": ["a\u2028b\x85c\x0bd\n"],
    "broken-text": [
        "naïve café, façade, Ångström, piñata, £5, «quoted»\n",
        "Привет, мир! Łódź, İstanbul, Ελλάδα\n",
        "âge, Ãgua, Â\n",
    ],
    "control-characters": ["tab\there\r\n", "می\u200cخواهم \u200f\u202aאב\u202c 👩\u200d💻 soft\xadhyphen\n"],
    "nfc": ["é ﬁ ½ ｱ ² №\n"],
    "gutenberg": [
        "End of Project Gutenberg's fame.\n",
        f"{'x' * 70_000}\n{START}Text\n",
        "He said: *** START OF THE PROJECT ***\n",
        f"Notes on Project Gutenberg.\n\n{START}Text.\n{END}The licence follows.\n",
        f"Title: Notes\n\n```\n{START}```\n\n{END}Text.\n",
        f'"""\n{HEADER}{START}"""\nx = 1\n{END}y = 2\n',
        f"Text.\n\n    Title: A\n    {START}\nText.\n",
    ],
    "boilerplate": [
        "She baked cookies, and we use butter for cookies.\n",
        "We use cookies and milk to wait for Santa.\n",
        "JavaScript is a language; Python is another.\n",
        "Read the privacy policy twice, said the lawyer, and then sign.\n",
        "The committee found all rights reserved to the crown.\n",
        "A copyright lasts for the life of the author and seventy years.\n",
        "He would read more if he had the time.\n",
        "Share this bread with me, he said.\n",
        "The newsletter of 1894 told of the storm.\n",
        "In terms of use, the bridge was a failure.\n",
        "Contact us\nHome\n",
        "Cookies\nPrivacy\nTerms\nTerms and conditions\n",
        "Follow us! Read more.\nRead more!\n“Follow us!”\nPin it.\n",
        "(c) In 1999 the firm moved.\n",
        "# Privacy Policy\n## All rights reserved.\n",
        "# Copyright 2024 A. Writer\n// Copyright 2024 A. Writer\n * Copyright (c) 2024 A. Writer\n",
        'x = "All rights reserved."\necho "© 2024 Example"\nfooter: "© 2024 Example"\n<p>© 2024 Example</p>\n',
        "The words all rights reserved. They stood there.\n",
        "If JavaScript is disabled in your browser, a form is shown.\n",
        "Each website uses cookies with your consent.\nBy using butter, she made better cookies.\n",
    ],
    "symbol-lines": [
        "...\n",
        "* * * * * * * * * *\n",
        "-----------\n",
        "+----+----+----+\n",
        "┌─────────┐\n",
        "(1) [2] {3} <4> 5\n",
        " /\\_/\\\n( o.o )  ~^~ ;;\n > ^ <\n",
        "$((((a+b))))\n}}});});});\n",
        "~~~@#$%^&*()!\n~~~\n",
        "/*--------*/\n<<==>><<==>><<==>><<==>>\n",
        "🎉🥳😂🔥🎂🎈🎉🥳😂🔥🎂🎈\n",
    ],
    "long-lines": [f"{'今' * 1500}\n", f"{'word ' * 5000}\n", f"{'x' * 1000}\n", f"{'0,255;' * 500}\n"],
    "short-lines": [
        "Chapter One\n\nHome\nAway\nText.\n",
        "Ah!\nOh!\nAy!\nEh!\nOh!\n",
        "a = 1\nb = 2\nc = 3\nd = 4\n",
        "ONE:\nTWO:\nSIX:\nTEN:\n",
        "Tyger\nTyger\nBurning\nBright\n",
        "Preface\nMethods\nResults\nHelp\nContact\n",
        "ROMEO\nYes\nJULIET\nNo\n",
        "Name\nAddress\nTelephone\nContact\n",
        "".join(f"{word}\n" for word in ("Home", "Search", "Help", *(["Name"] * 98))),
    ],
    "emails": [
        "git@github.com:owner/name.git\n",
        "email@example.com\n",
        "ann@example.org, bo@a.example.net\n",
        "@app.route and a @ b, x@y, 5@10.50\n",
        "pkg@1.2.3\n",
        "q@k.transpose(-2, -1) + x@self.weight.T + x@self.bias\n",
    ],
    "phone-numbers": [
        "On 2024-01-15 at 12:30:45, 1,234,567 people.\n",
        "ISBN 978-0-306-40615-7, also 212-736-5000 in print\n",
        "192.168.100.200 and 3.14159265358979\n",
        "'+000000120' and 10000000000 and 0x1234567\n",
        "12 345 678 901 km\n",
        "+3.14159265, +52.5200 13.4050, +40.7128-074.0060/\n",
        "last call 2024-01-15 12:30, next call 15.01.2024, mobile 2010-2024\n",
        "555-0100\n",
    ],
    "duplicate-paragraphs": [
        "Short.\n\nShort.\n\n",
        f"    {LONG}    {LONG}\n" * 2,
        PARAGRAPH.replace("worst", "best") + PARAGRAPH,
        f"```text\n{PARAGRAPH}\n{PARAGRAPH}```\n",
        "O the wheel, it goes round and around in the town,\nAnd the corn that is golden is presently ground,\n\n" * 2,
        "- one thing that is to be done before the others\n- another thing that is to be done after the first one\n\n" * 2,
    ],
    "near-duplicates": [
        f"    {LONG}    {LONG}\n" * 2,
        "One two three.\n\nOne two three.\n\n",
        PARAGRAPH + " ".join(f"word{n}" for n in range(60)) + "\n\n",
        "".join(
            f"int {name}(struct table *table, int index)\n{{\n  return table->entries[index].first;\n}}\n\n" * 2 for name in "ab"
        ),
        "O the wheel, it goes round and around in the town,\nAnd the corn that is golden is presently ground,\n\n" * 2,
    ],
    "duplicate-lines": [
        "A short refrain, a short refrain,\n" * 4,
        f"    {LONG}" * 3,
        f"```\n{LONG}{LONG}```\n",
        f"{'=' * 60}\nTitle\n" * 2,
        "from collections.abc import Callable, Iterable, Iterator, Mapping\n" * 2,
        "Details of the applicant and of the persons who live there\n\nyes\n\n" * 2,
        f"in the verse that runs on from one line to the next,\n{LONG}" * 2,
        f"ROMEO: {LONG}WARNING: {LONG}" * 2,
    ],
    "blank-lines": ["a\n\nb\n\nc\n", "\na\n\n", "import re\n\n\ndef f():\n    pass\n\n\nclass A:\n", "```\na\n\n\nb\n```\n"],
}
"""By rule: texts that it leaves as they are."""


@pytest.mark.parametrize(("rule", "before", "after"), [(rule, *pair) for rule, pairs in CHANGES.items() for pair in pairs])
def test_a_rule_takes_what_it_must(rule: str, before: str, after: str) -> None:
    assert cleaned(before, rule) == after
    assert cleaned(after, rule) == after, "once is enough"
    assert "".join(passage.after for passage in BY_NAME[rule].cleaner().feed(before, True)) == after, "measured, too"


def test_every_rule_has_cases_of_both_kinds() -> None:
    assert CHANGES.keys() == LEFT.keys() == {rule.name for rule in RULES}


@pytest.mark.parametrize("rule", LEFT)
def test_a_rule_leaves_what_it_must(rule: str) -> None:
    for text in [*LEFT[rule], *GOOD, "".join(GOOD)]:
        assert cleaned(text, rule) == text


def test_the_rule_of_emails_names_those_that_it_leaves() -> None:
    (explanation,) = (rule.explanation for rule in RULES if rule.name == "emails")
    assert "but for those at example.com, .org and .net" in explanation


@settings(max_examples=60, deadline=None)
@given(st.text("ab Z\n.€ÂÃÀàœØÙ°©“”»²µГўВЂРâ│ñ🙂", min_size=1, max_size=60))
def test_broken_text_is_found_around_characters_beyond_ascii_as_it_is_everywhere(text: str) -> None:
    text = f"é{text}"
    assert [bad.span() for bad in _bad_sequences(text)] == [bad.span() for bad in BADNESS_RE.finditer(text)]
