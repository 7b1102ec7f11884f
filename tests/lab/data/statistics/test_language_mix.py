"""Languages of texts that are known, and no claim where there is no evidence."""

import inspect
import random
import statistics

import pytest

from lab.data.statistics.character_classes import LANGUAGES, MOST_SECTIONS, SECTION_CHARACTERS, LanguageMix, _identifier
from lab.data.statistics.stream_statistics import stream_statistics

PROSE = {
    "English": "It was the first time that she had been there, and all of them would have come with her if they could.",
    "German": "Es war das erste Mal, dass sie dort war, und alle wären mit ihr gekommen, wenn sie es nur gekonnt hätten.",
    "French": "C'était la première fois qu'elle venait dans cette ville, et tous les autres seraient venus avec elle.",
    "Spanish": "Era la primera vez que ella estaba en la ciudad, y todos los demás habrían venido con ella si no fuera tarde.",
    "Portuguese": "Era a primeira vez que ela estava na cidade, e todos os outros teriam vindo com ela se não fosse pelo frio.",
    "Italian": "Era la prima volta che lei era in città, e tutti gli altri sarebbero venuti con lei se non fosse per il freddo.",
    "Dutch": "Het was de eerste keer dat ze daar was, en al de anderen waren met haar meegekomen als het maar kon.",
    "Swedish": "Det var första gången som hon var där, och alla de andra hade kommit med henne om det bara inte var så kallt.",
    "Polish": "To był pierwszy raz, kiedy ona tam była, i nie wszyscy z nich przyszli do niej, bo było już bardzo zimno.",
    "Russian": "Это был первый раз, когда она была там, и все они не пришли бы с ней, если бы только не было так холодно.",
    "Ukrainian": "Це був перший раз, коли вона була там, і всі вони не прийшли б до неї, якби це не було так холодно.",
    "Greek": "Ήταν η πρώτη φορά που ήταν εκεί, και όλοι οι άλλοι θα είχαν έρθει μαζί της.",
    "Japanese": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "Chinese": "学而时习之不亦说乎有朋自远方来不亦乐乎人不知而不愠不亦君子乎",
    "Korean": "나는 고양이로소이다. 이름은 아직 없다. 어디서 태어났는지 전혀 모른다.",
    "Catalan": "Tots els éssers humans neixen lliures i iguals en dignitat i en drets. Són dotats de raó i de consciència.",
    "Esperanto": "Ĉiuj homoj estas denaske liberaj kaj egalaj laŭ digno kaj rajtoj. Ili posedas racion kaj konsciencon.",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "Czech": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím.",
    "Romanian": "Toate ființele umane se nasc libere și egale în demnitate și în drepturi. Ele sunt înzestrate cu rațiune.",
    "Finnish": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "Hungarian": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek ésszel bírnak.",
    "Danish": "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og samvittighed.",
    "Indonesian/Malay": "Semua orang dilahirkan merdeka dan mempunyai martabat dan hak-hak yang sama.",
    "Bosnian/Croatian/Serbian": "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima. Obdarena su razumom.",
    "Arabic": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق، وقد وهبوا عقلاً وضميراً وعليهم أن يعامل بعضهم بعضاً.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Latin": "Omnes homines liberi aequique dignitate atque iuribus nascuntur. Ratione conscientiaque praediti sunt.",
}
RANDOM = random.Random(5)
EVIDENCE_OF_NONE = {
    "names": "Anna Berlin Carlos Dubrovnik Elena Firenze Gustav Helsinki Ivan Jakarta Karin Lisboa " * 3,
    "code": "x1 = foo(bar, baz); return qux[idx] + spam.eggs(ham) << shift | mask ^ flag\n" * 5,
    "C": "for (int i = 0; i < n; ++i) {\n    if (table[i].key == key) return &table[i];\n}\nstatic size_t hash(const char *s);\n"
    * 9,
    "hex": "deadbeef cafebabe 0badf00d feedface 8badf00d " * 9,
    "a few letters": "ok",
    "Han characters in no order": "鱷魚龜鑼鼓鐵釘鑽石鍋爐鎖鏈鋼琴鋸齒鎮鎧甲鑰匙鏡框",
    "digits": "12345 67890\n" * 20,
    "table": "".join(f"| {row} | {row * 7 % 13}.25 | yes | no |\n" for row in range(90)),
    "random letters": "".join(RANDOM.choices("abcdefghijklmnopqrstuvwxyz    ", k=3000)),
    "random bytes": bytes(RANDOM.choices(range(32, 256), k=3000)).decode("latin-1"),
    "random Han": "".join(map(chr, RANDOM.choices(range(0x4E00, 0x9FFF), k=2000))),
    "nothing": "",
}


def languages(text: str) -> dict[str, int]:
    *_, last = stream_statistics(lambda: [(text, len(text), True)], len(text), lambda progress: False)
    return dict(last.languages)


@pytest.mark.parametrize("language", PROSE)
def test_prose_is_told_by_its_language(language: str) -> None:
    assert next(iter(languages(PROSE[language]))) == language


@pytest.mark.parametrize("kind", EVIDENCE_OF_NONE)
def test_no_language_is_claimed_without_evidence(kind: str) -> None:
    assert set(languages(EVIDENCE_OF_NONE[kind])) <= {"unknown"}


def test_little_of_a_program_is_taken_for_a_language_and_that_for_what_its_comments_are_in() -> None:
    found = languages(inspect.getsource(random) + inspect.getsource(statistics).partition('"""')[2])
    assert set(found) <= {"English", "unknown"}


def test_sections_are_told_one_by_one_and_letters_add_up() -> None:
    english, german = PROSE["English"] + " ", PROSE["German"] + " "
    one = (english * 40)[:SECTION_CHARACTERS]
    two = (german * 40)[:SECTION_CHARACTERS]
    found = languages(one + two + one + "αβγ" * 2)
    letters = {name: sum(map(str.isalpha, text)) for name, text in (("English", one + one), ("German", two))}
    assert found == letters | {"unknown": 6}


@pytest.mark.parametrize("block", [3_333, 1 << 20])
def test_of_a_long_text_a_sample_of_sections_is_looked_at_wherever_its_blocks_end(block: int) -> None:
    text = "".join((PROSE[language] + "\n") * 4_000 for language in ("English", "German", "Catalan", "English"))
    mix = LanguageMix()
    for at in range(0, len(text), block):
        mix.add(text[at : at + block])
    shares = dict(mix.letters())
    total = sum(shares.values())
    assert mix.spacing > 1
    assert total < (MOST_SECTIONS + 2) * SECTION_CHARACTERS
    assert set(shares) == {"English", "German", "Catalan"}
    assert abs(shares["English"] / total - 0.5) < 0.02


def test_the_table_of_names_has_each_code_of_the_model_once() -> None:
    assert set(LANGUAGES) < set(_identifier().labels)
    assert "zxx" not in LANGUAGES, "no language"
