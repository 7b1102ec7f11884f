"""Stop words of some languages: the commonest words of each, which any page of prose is full of."""

STOP_WORDS: dict[str, tuple[str, str]] = {
    "English": (
        "Latin",
        "the of and to a in that it is was he for his with as i had they be you at are not but have her she we him this by on"
        " all my from so me were which or their an no one there would what been if who will them more when said could do your",
    ),
    "German": (
        "Latin",
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie"
        " nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man ich",
    ),
    "French": (
        "Latin",
        "de la le et les des en un une du dans est que qui il pour au par sur ne se pas plus avec ce sont son elle cette mais"
        " ont ou comme été sa leur était aux lui nous je vous tout y même si on ses bien où sans fait ces deux",
    ),
    "Spanish": (
        "Latin",
        "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre este"
        " ya entre cuando todo esta ser son dos también fue había era muy años hasta desde está mi porque",
    ),
    "Portuguese": (
        "Latin",
        "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou ser"
        " quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos",
    ),
    "Italian": (
        "Latin",
        "di e il la che in a per un è non una le si del da con della i al sono come lo dei nel alla più gli delle ha anche ma"
        " dal ci se io questo o su mi era nella loro suo essere dalla sua degli tutto quando stato perché",
    ),
    "Dutch": (
        "Latin",
        "de van het een en in is dat op te zijn met voor niet aan er die om ook als dan maar bij door of uit nog naar ze hij"
        " heeft was ik je wat wordt over kan worden dit geen had meer hebben tot zo haar deze al",
    ),
    "Swedish": (
        "Latin",
        "och i att det som en på är av för med den till inte har de ett om han var jag sig från men så vi kan man när år"
        " under också efter eller nu sin där vid mot ska skulle kommer ut får finns vara hade alla",
    ),
    "Danish or Norwegian": (
        "Latin",
        "og i at det er en til på som de med for den av af ikke der var et har han om men jeg vi så fra ved sig seg kan nå nu"
        " hun man etter efter eller skal vil da over ut ud også hadde havde være blev ble",
    ),
    "Polish": (
        "Latin",
        "w i na z się do nie że to jest o jak a po co tak za od przez ale dla czy był był już tylko jego przy jej który"
        " przed może być oraz bardzo ich są które ja tym tego go ze pod nad mnie było",
    ),
    "Czech": (
        "Latin",
        "a se v na je že to z s do o i ve pro za jako by ale po jsem si tak od jeho co nebo byl už jen při když podle jsou"
        " které který aby až být byla má bylo jak před ne ji",
    ),
    "Turkish": (
        "Latin",
        "ve bir bu da de için ile çok olarak daha gibi o olan ne en kadar sonra var ama ben her diye ki mi ise değil onun"
        " ya oldu iki olduğunu göre şey bana sen beni zaman",
    ),
    "Finnish": (
        "Latin",
        "ja on ei se että hän oli mutta kun joka ovat olla myös kuin niin tai ole mitä jos hänen minä sitä sen jo nyt vain"
        " mukaan vielä siitä joka olisi ollut tämä",
    ),
    "Hungarian": (
        "Latin",
        "a az és hogy nem is egy meg ez de csak volt már mint el van még ha azt ki vagy kell lehet mert ezt sem azonban"
        " majd így most olyan pedig minden",
    ),
    "Russian": (
        "Cyrillic",
        "и в не на что он с как я это но по к из за у от так же о все для его бы только мы было она был еще когда или ее вы"
        " уже если их того меня быть ты до который во то этого чтобы нет при",
    ),
    "Ukrainian": (
        "Cyrillic",
        "і в не на що з як та у це до я він але за по від його так для й було про вона те ми ще бути має які який є або чи"
        " коли після також цього їх вже мене ж",
    ),
    "Bulgarian": (
        "Cyrillic",
        "на и да се в е за от не с че по си до това като са ще но който към той бе беше или при му само още има след"
        " които във още така ни ги няма",
    ),
    "Arabic": (
        "Arabic",
        "في من على إلى أن عن التي مع هذا الذي لا ما كان هذه أو بعد كل بين ذلك قد كما لم هو إن هي وقد ولا حتى عند غير منذ ثم",
    ),
    "Persian": (
        "Arabic",
        "و در به از که این را با است برای آن یک خود تا کرد بر هم نیز می شد یا اما دو هر گفت باید شده بود آنها ما ها",
    ),
    "Urdu": (
        "Arabic",
        "کے کی میں ہے اور سے کا کو اس نے ہیں کہ پر یہ بھی ایک جو تھا لیے وہ نہیں کر ہو تو گیا ان تھے ہی کیا",
    ),
    "Hindi": (
        "Devanagari",
        "के में की है और से का को एक यह पर ने हैं भी इस कि जो नहीं कर तो हो था लिए वह गया अपने ही या थे हुए साथ",
    ),
}
"""Language: its script and its stop words. Languages that share most of theirs cannot be told apart, and stand as one."""

CHINESE_FUNCTION_CHARACTERS = "的一是不了在人有我他这個个们中来上大为和国地到以说時时要就出会會也之其而者於曰所與与"
"""The commonest characters of Chinese, modern and classical."""

BY_SCRIPT = {
    "Greek": "Greek",
    "Hangul": "Korean",
    "Thai": "Thai",
    "Lao": "Lao",
    "Khmer": "Khmer",
    "Myanmar": "Burmese",
    "Georgian": "Georgian",
    "Armenian": "Armenian",
    "Tamil": "Tamil",
    "Telugu": "Telugu",
}
"""Scripts in which by far most text is of one language."""
