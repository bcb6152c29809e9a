"""Which text layers are believed: real languages are, codes that were taken for characters are not."""

from __future__ import annotations

import random
import string
import unicodedata

import pytest

from ocrpress.measure.samples.trust import distrust

# The first article of the Universal Declaration of Human Rights.
LANGUAGES = {
    "English": "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
    "conscience and should act towards one another in a spirit of brotherhood.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen "
    "begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
    "Polish": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni "
    "rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa.",
    "Czech": "Všichni lidé se rodí svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím a "
    "mají spolu jednat v duchu bratrství.",
    "Welsh": "Genir pawb yn rhydd ac yn gydradd â'i gilydd mewn urddas a hawliau. Fe'u cynysgaeddir â rheswm a "
    "chydwybod, a dylai pawb ymddwyn y naill at y llall mewn ysbryd cymodlon.",
    "Finnish": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu järki "
    "ja omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve "
    "birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi. Mọi con người đều "
    "được tạo hoá ban cho lý trí và lương tâm và cần phải đối xử với nhau trong tình anh em.",
    "Azerbaijani": "Bütün insanlar ləyaqət və hüquqlarına görə azad və bərabər doğulurlar. Onların şüurları və "
    "vicdanları var və bir-birlərinə münasibətdə qardaşlıq ruhunda davranmalıdırlar.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью "
    "и должны поступать в отношении друг друга в духе братерства.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι "
    "με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם "
    "לנהוג איש ברעהו ברוח של אחווה.",
    "Arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا "
    "وعليهم أن يعامل بعضهم بعضًا بروح الإخاء.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม",
    "Chinese": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "Chinese, traditional": "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神互相對待。",
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心"
    "とを授けられており、互いに同胞の精神をもって行動しなければならない。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 "
    "부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
}
ENGLISH = " ".join([LANGUAGES["English"]] * 3)
FORM_NO_WORDS = "its text layer's letters do not form words"


def moved(text: str, by: int) -> str:
    """Every letter exchanged for the one so many places on in the alphabet: a font whose codes are off by some."""
    small, large = string.ascii_lowercase, string.ascii_uppercase
    return text.translate(str.maketrans(small + large, small[by:] + small[:by] + large[by:] + large[:by]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_believed(language: str) -> None:
    assert distrust(LANGUAGES[language] * 4) == ""


def test_several_languages_on_a_page_are_believed() -> None:
    assert distrust("\n".join(LANGUAGES.values())) == ""


def test_letters_moved_in_the_alphabet_are_found_out() -> None:
    believed = [by for by in range(1, 26) if distrust(moved(ENGLISH, by)) != FORM_NO_WORDS]
    assert set(believed) <= {13}  # by chance it looks like a language, and no font is that far off


@pytest.mark.parametrize("alphabet", [string.ascii_lowercase, "абвгдежзийклмнопрстуфхцчшщъыьэюя"])
def test_letters_exchanged_at_random_are_found_out_nine_times_in_ten(alphabet: str) -> None:
    text = ENGLISH if alphabet[0] == "a" else " ".join([LANGUAGES["Russian"]] * 3)
    found = 0
    for seed in range(100):
        letters = list(alphabet)
        random.Random(seed).shuffle(letters)
        found += distrust(text.lower().translate(str.maketrans(alphabet, "".join(letters)))) == FORM_NO_WORDS
    assert found >= 90


def test_codes_of_glyphs_twenty_nine_places_off_are_found_out() -> None:
    assert distrust("".join(chr(ord(char) - 29) if char > " " else char for char in ENGLISH)) != ""


@pytest.mark.parametrize(("first", "last"), [(0x4E00, 0x9FA5), (0xAC00, 0xD7A3)])
def test_east_asian_characters_at_random_are_found_out(first: int, last: int) -> None:
    chance = random.Random(1)
    assert distrust("".join(chr(chance.randint(first, last)) for _ in range(300))) == FORM_NO_WORDS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no text layer"),
        (" \n\t ", "no text layer"),
        ("Page 7", "its text layer has fewer than 20 letters"),
        ("1234567890 " * 60, "its text layer has fewer than 20 letters"),
        ("(cid:12)(cid:7)(cid:31)" * 20, "its text layer has codes of glyphs, (cid:1), in place of characters"),
        (ENGLISH.replace("e", "\ufffd"), "its text layer has characters without a meaning"),
        (ENGLISH.replace("t", "\uf0b7"), "its text layer has characters without a meaning"),
        (ENGLISH.replace("a", "\x03"), "its text layer has characters without a meaning"),
        (" ".join(ENGLISH), "its text layer has a space after every letter"),
        (LANGUAGES["Russian"].encode().decode("latin-1"), "its text layer has characters without a meaning"),
        (ENGLISH.replace("e", "ж").replace("a", "θ"), "its text layer mixes scripts within words"),
        ("!\"#$%& '()*+ ,-./:;< " * 40 + "a few letters in between", "its text layer has more signs than letters"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    assert distrust(text) == why


@pytest.mark.parametrize(
    "text",
    [
        "Contents\n" + "\n".join(f"{n} Of measuring {'. ' * 40}{n * 7}" for n in range(1, 30)),
        "\n".join(f"Total {n * 31:,} {n * 17:,} {n * 3:.2f} {n * 7:.2f} {n * 11:.2f}" for n in range(1, 40)),
        "• An item of a list with a private bullet\n\uf0b7 " + ENGLISH,
        "def distrust(text: str) -> str:\n    return '' if text and is_language(text) else WHY\n" * 8,
        "WIR BITTEN UM IHRE AUFMERKSAMKEIT FÜR DIE FOLGENDE MITTEILUNG AN ALLE REISENDEN " * 5,
        "Let x be in X, y in Y and f a map from X to Y such that f(x) = y for all of them. " * 6,
        "第A級と第B級と第C級の表、A列B列C列D列の値、X軸Y軸Z軸の図。" * 5,
        "PDFファイルから文字を取り出すと、Adobe Reader と同じ結果になるとは限らない。" * 5,
    ],
)
def test_contents_tables_lists_code_capitals_and_formulas_are_believed(text: str) -> None:
    assert distrust(text) == ""


def test_decomposed_accents_are_letters_too() -> None:
    assert distrust(unicodedata.normalize("NFD", LANGUAGES["Vietnamese"] * 3)) == ""
