"""Words by which names of persons are told, language by language, and words that are no names though capitalised.

There is no list of names here: such a list finds the names of some peoples and leaves those of others in the data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameWords:
    """What stands beside a name in one language, each a part of a pattern in which a space stands for any space."""

    titles: str
    introductions: str
    greetings: str
    closings: str
    labels: str


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


LANGUAGES: dict[str, NameWords] = {
    "en": NameWords(
        titles=r"Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Sir|Dame|Lord|Lady|Rev|Reverend|Father|Sister|Capt|Captain"
        r"|Lt|Sgt|Sergeant|Officer|Judge|Justice|Sen|Senator|Gov|Governor|Rep|Madam|Uncle|Aunt|Auntie|Hon",
        introductions=r"(?:my|his|her|their|our|the) (?:\p{L}{2,15}['\u2019]s )?(?:maiden |full |first |last |middle"
        r" |legal |sur)?name(?:['\u2019]s| is| was|:)?"
        r"|(?:change|correct|update) it to|(?:calls?|called) me|known as|goes by|this is|(?:her|his|their) names?"
        r" (?:is|are)"
        r"|(?:named|christened|nicknamed) (?:him|her|me|them)|under the name(?: of)?|signed by|on behalf of",
        greetings=r"hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|thanks|thank you|welcome(?: back)?"
        r"|sorry|congratulations",
        closings=r"(?:(?:best|kind|warm|many|with) )*(?:regards|wishes|thanks|respect)|sincerely(?: yours)?|yours(?:"
        r" \w+)?|cheers|best|thanks|thank you|love|take care|respectfully",
        labels=r"(?:(?:full|first|last|family|given|middle|maiden|customer|client|patient|employee|user|account"
        r"|contact|holder|card ?holder|passenger|guest"
        r"|student|candidate|applicant|billing|shipping|recipient|sender|beneficiary|emergency contact|your|the"
        r"|what'?s your) )?name|surname|patient|employee"
        r"|attn|attention|cc|from|to|contact(?: person)?|signed|author|guardian|manager|passenger|recipient|sender"
        r"|beneficiary|card ?holder|customer|client",
    ),
    "de": NameWords(
        titles=r"Herrn?|Frau|Fr|Hr|Dr|Prof|Professorin",
        introductions=r"mein name ist|ich hei(?:ß|ss)e|ich bin|(?:er|sie) hei(?:ß|ss)t|namens",
        greetings=r"hallo|guten (?:tag|morgen|abend)|liebe[rs]?|sehr geehrte[rs]?|servus|gr(?:ü|ue)(?:ß|ss) gott",
        closings=r"(?:mit )?(?:freundlichen|besten|lieben|vielen|herzlichen)? ?gr(?:ü|ue)(?:ß|ss)en?|mfg|ihre?|viele"
        r" gr(?:ü|ue)(?:ß|ss)e",
        labels=r"name|vorname|nachname|familienname|ansprechpartner(?:in)?|kund(?:e|in)|patient(?:in)?",
    ),
    "fr": NameWords(
        titles=r"M|Mme|Mlle|Monsieur|Madame|Mademoiselle|Dr|Maître",
        introductions=r"je m['\u2019]appelle|mon nom est|je suis|(?:il|elle) s['\u2019]appelle|nommée?",
        greetings=r"bonjour|bonsoir|salut|ch(?:er|ère)|merci",
        closings=r"cordialement|bien (?:à vous|cordialement)|amicalement|sincères salutations|merci",
        labels=r"nom|prénom|nom de famille|client|patiente?",
    ),
    "es": NameWords(
        titles=r"Sr|Sra|Srta|Señora?|Don|Doña|Dra?|Prof",
        introductions=r"me llamo|mi nombre es|soy|se llama|llamad[oa]",
        greetings=r"hola|buenos días|buenas (?:tardes|noches)|estimad[oa]|querid[oa]|gracias",
        closings=r"(?:un )?(?:cordial )?saludos?(?: cordiales)?|atentamente|gracias|un abrazo",
        labels=r"nombre(?: completo)?|apellidos?|cliente|paciente",
    ),
    "it": NameWords(
        titles=r"Sig|Sig\.ra|Signora?|Dott|Dott\.ssa|Dottore|Prof|Avv|Ing",
        introductions=r"mi chiamo|il mio nome è|sono|si chiama",
        greetings=r"ciao|buongiorno|buonasera|gentile|car[oa]|grazie|salve",
        closings=r"(?:cordiali|distinti) saluti|saluti|grazie|un abbraccio",
        labels=r"nome|cognome|cliente|paziente",
    ),
    "nl": NameWords(
        titles=r"Dhr|Mevr|Mw|Meneer|Mevrouw|De heer",
        introductions=r"mijn naam is|ik heet|ik ben|(?:hij|zij) heet|genaamd",
        greetings=r"hallo|hoi|beste|geachte|goede(?:morgen|middag|navond)|bedankt",
        closings=r"(?:met )?(?:vriendelijke|hartelijke) groet(?:en)?|groet(?:en|jes)?|mvg|bedankt",
        labels=r"naam|voornaam|achternaam|klant|pati[ëe]nt",
    ),
    "pt": NameWords(
        titles=r"Sr|Sra|Srta|Senhora?|Dona|Dra?|Prof",
        introductions=r"(?:o )?meu nome é|me chamo|chamo-me|eu sou|sou o|sou a",
        greetings=r"olá|oi|bom dia|boa (?:tarde|noite)|prezad[oa]|car[oa]|obrigad[oa]",
        closings=r"atenciosamente|cumprimentos|abraços?|obrigad[oa]",
        labels=r"nome(?: completo)?|sobrenome|apelido|cliente|paciente",
    ),
}
PERSIAN_TITLES = r"آقای|خانم|جناب آقای|سرکار خانم|دکتر|مهندس"
PERSIAN_INTRODUCTIONS = r"نام من|اسم من|اسمم|من را|نام و نام خانوادگی ?:|نام ?:|نام خانوادگی ?:"
PERSIAN_STOP = _set(
    "گفت را در به از که و است با هم می هست ام این آن برای تا اما یا نیز شد کرد بود ها من تو او ما شما چیست رئیس مدیر"  # noqa: RUF001
)

ORGANISATION_WORDS = _set(
    "Inc LLC Ltd Limited Corp Corporation Company Co GmbH AG SA SAS SARL BV NV Oy AB AS SpA PLC LLP Group Holding "
    "Holdings Partners Solutions Systems Technologies Technology Software Labs Bank Insurance Financial Capital "
    "Ventures Media Studios Records University College School Institute Academy Hospital Clinic Church Museum "
    "Library Foundation Association Society Union Council Committee Commission Ministry Department Agency Bureau "
    "Office Court Army Navy Police Party Team Club Orchestra Band Services Consulting Industries International "
    "Global Enterprises Logistics Airlines Motors Energy Networks Analytics Health Airport Station Force Government "
    "Senate House Congress Times Post News Weekly Magazine Journal Press"
)
PLACE_WORDS = _set(
    "Street St Avenue Ave Road Rd Boulevard Blvd Drive Lane Ln Way Square Plaza Court Terrace Park River Lake "
    "Mountain Mountains Mount Ocean Sea Bay Island Islands Valley Desert Forest City Town Village County State "
    "States Province Region Republic Kingdom Coast Beach Bridge Tower Building Center Centre Hall Hotel North South "
    "East West Northern Southern Eastern Western Central New San Santa Los Las Saint Suite Apt Apartment Box Unit "
    "Floor PSC APO DPO FPO Box Postbox"
)
_FUNCTION_WORDS = (
    "a about above according actually additionally after afterwards again all almost alright already also"
    " alternatively although always am among an and"
    " another any anyone anything anyway are as ask at be because been before being below besides best between both"
    " but by can cannot certainly"
    " check click come compare consider could create day days dear describe did do does doing don done during each"
    " either else end enough ensure even"
    " eventually every everyone everything exactly example excuse explain false few finally find first firstly"
    " follow for friends from further"
    " furthermore generally generate get give given go good got great guys had has have having he hello help hence"
    " her here hers hey hi him his how"
    " however i if imagine important in include including indeed instead into is it its itself just keep know last"
    " lastly later let like list"
    " literally look lots love made mainly make many may maybe me meanwhile might mine more moreover most mostly"
    " much must my name neither never"
    " nevertheless next no nobody none nope nor not note nothing now of off oh ok okay on once one ones only or"
    " order other others otherwise our"
    " out over overall own particularly per perhaps please plus possible provide question really regardless remember"
    " right said same say says see"
    " second secondly set several she should show similarly simply since so some somebody someone something"
    " sometimes soon sorry still such sure"
    " take tell than thank thanks that the their theirs them then there therefore these they thing things think"
    " third this those though three"
    " through throughout thus to today together tomorrow too true try two typically unfortunately under unless"
    " unlike until up upon us use used"
    " using usually very via wait want was we welcome well were what whatever when whenever where whereas whether"
    " which while who whoever whole"
    " whom whose why will with within without would wow write wrote yeah yes yesterday yet you your yours yourself zero"
)
_CAPITALISED = (
    "monday tuesday wednesday thursday friday saturday sunday january february march april june july august"
    " september october november december"
    " jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun spring summer autumn winter"
    " christmas easter halloween"
    " thanksgiving mr mrs ms miss dr prof sir madam lord lady professor doctor president king queen prince princess"
    " pope emperor senator judge"
    " captain general english french german spanish italian dutch portuguese russian chinese japanese korean arabic"
    " persian hindi turkish greek"
    " latin american british european asian african indian canadian australian mexican irish scottish welsh jewish"
    " christian muslim catholic"
    " buddhist hindu islamic god jesus bible quran earth moon sun mars venus jupiter saturn internet web google"
    " facebook twitter instagram"
    " youtube linkedin amazon apple microsoft netflix openai chatgpt gpt ai api python java javascript linux windows"
    " android ios excel word"
    " user assistant system bot agent human customer client admin title subject date time address phone email"
    " website answer question step"
    " chapter section figure table part act article law amendment covid world war ii iii iv vi vii viii civil rights"
    " black white red blue green"
    " golden silver big little old young high low open free public private national international royal united"
    " federal machine learning data"
    " science artificial intelligence deep neural natural language model computer digital social human personal info"
    " company business project"
    " product service team manager director chief executive officer vice department account credit card number order"
    " bank labor age year"
    " cool awesome nice perfect agreed understood honey dude folks everybody alright hmm gosh absolutely definitely"
    " congratulations regards"
    " years song album movie film book story game input output response instruction summary introduction conclusion"
    " hobbits desk fax mobile tel cell"
    " acquisition acquisitions retention conversion value values score scores cost costs rate rates ratio ratios index"
    " version versions reality trend trends indicator indicators metric metrics performance lifetime development"
    " football games works warranty return returns refund refunds delivery shipping payment payments invoice order"
    " orders product products ticket tickets feature features feedback workflow dashboard"
)
NOT_NAMES = frozenset(
    {*_FUNCTION_WORDS.split(), *_CAPITALISED.split(), *(w.lower() for w in ORGANISATION_WORDS | PLACE_WORDS)}
)
"""Lower-case words that are no part of a name though they may be capitalised."""

LINE_LABELS = _set(
    "action analysis approach argument assertion assessment assumption author background benefit body brand caption"
    " category cause challenge character choice citation claim clue code color colour column command comment complaint"
    " concept condition cons constraint content context conversation correct criterion criteria critique css csv"
    " decision default definition description detail dialogue difference difficulty directions disadvantage advantage"
    " disclaimer documentation duration effect entity error evaluation evidence expected experience explanation fact"
    " field file final finding fix footer format formula frequency function genre goal header headline heading hint"
    " history html hypothesis id idea image impact importance ingredient insight intent intention interpretation issue"
    " item json judgement judgment justification key keyword label language level limitation link list location logic"
    " material meaning memory message method methodology mistake mood motivation object objective observation option"
    " original outcome outline output overview parameter passage pattern persona phase plan plot point policy"
    " possibility premise principle priority problem procedure prompt proof property pros purpose quantity query quote"
    " rating rationale reason reasoning recommendation reference reflection rejected chosen request requirement"
    " resolution resource response result review reward rhyme risk role rule sample scenario scene schedule score"
    " sentence sentiment setting severity signature situation size skill slogan snippet solution sources source"
    " speaker speech sql stage statement status strategy strength structure style subtask subtitle suggestion symptom"
    " synonym antonym syntax tag target task technique template term test text theme theorem theory thesis thought"
    " threat opportunity tip tone tool topic trait translation treatment trigger type unit usage utterance"
    " validation variable verb noun adjective adverb verdict verse chorus bridge warning weakness weather xml yaml"
    " accommodation activity activities transportation construction video song design"
    " actor audience buyer caller candidate chatbot child citizen clerk client coach consultant contestant counselor"
    " critic crowd customer detective dad mom mother father brother sister son daughter employee employer employe"
    " examiner expert friend guest helper host hostess interviewer interviewee lawyer listener manager merchant"
    " moderator narrator nurse observer officer operator owner pal panelist parent participant passenger patient person"
    " player policeman presenter programmer receptionist recruiter reporter reviewer robot salesman salesperson seller"
    " scientist student support teacher therapist tourist trainer translator tutor villager visitor voice waiter"
    " waitress wizard woman man boy girl writer"
)
"""Lower-case words that stand before the colons of lines: labels of formats and fields of records, and the parts of a
dialogue that name nobody."""

ALSO_WORDS = _set(
    "will may mark grace hope faith joy rose lily ivy violet bill art rich frank grant chance chase drew sue pat "
    "rob jack nick bob don ray dawn eve summer autumn april june august may max page young long short king bishop "
    "cook baker miller smith carpenter fisher hunter brown black white green gray grey stone wood woods hill field "
    "fields brook brooks rivers lake bush rice price banks bell ball bond case cross day early ford fox hall head "
    "holy house kind knight law little love marsh moon moss noble north south west east park parks pope power reed "
    "self sharp shepherd silver singer swift walker wall ward waters way wise wolf major dean earl duke guy victor "
    "iris jade olive crystal amber ruby pearl angel christian sandy"
)
"""Names that are everyday words, too: alone they count as a person's only in the middle of a sentence, capitalised."""

PERSONAL_LABELS = (
    r"(?:full|first|last|family|given|middle|maiden|customer|client|patient|employee|contact|passenger|guest|student"
    r"|candidate|applicant|recipient|sender|holder)[ _]?name|surname|your name|vorname|nachname|familienname|prénom"
    r"|nom de famille|apellidos?|cognome|voornaam|achternaam|sobrenome|card ?holder"
)
"""Labels of which the value is a name also where it is one word; "name" alone may be a dish's or a function's."""

ROLES = (
    r"(?!(?:after|under|over|other|another|rather|whether|either|neither|never|ever|together|however|moreover"
    r"|number|order|important|want|relevant|server|computer|paper|power|error|color|consider|remember|discover)\b)(?:"
    r"\p{Ll}{2,14}(?:er|or|ist|ian|ant|man|woman)|friend|colleague|boss|brother|sister|mother|father|mom|dad|mum|son"
    r"|daughter|wife|husband"
    r"|uncle|aunt|cousin|nephew|niece|partner|neighbou?r|president|ceo|cto|cfo|chef|coach|nurse|judge|king|queen"
    r"|poet|pilot|guide|spouse|girlfriend|boyfriend)"
)
SPEECH = (
    r"said|says|asked|asks|replied|replies|wrote|writes|told|tells|added|adds|explained|explains|answered|argued"
    r"|claimed|claims|noted|notes|points out|pointed out|admitted|shouted|whispered|exclaimed|insisted|suggested"
    r"|recalled|lives|lived|moved|worked|works|born|spent|speak|speaks|spoke|sings|sang|died|married|joined|founded"
    r"|listed|called|emailed|phoned|smiled|laughed|nodded|cried|sighed"
)
DEEDS = (
    r"likes|liked|loves|loved|wants|wanted|hates"
    r"|hated|thinks|thought|believes|believed|knows|knew|feels|felt|plays|played|studies|studied|teaches|taught"
    r"|graduated|arrived|visited|bought|owns|wore|ran|walked|sat|stood|met|hired|fired|scored|won|starred|directed"
    r"|composed|painted|drew|decided|agreed|refused|promised|complained|applied|resigned|retired|wished|hopes|hoped"
    r"|needs|asking|here|speaking|who|whose|whom"
)
LEADING_WORDS = frozenset(
    word
    for words in LANGUAGES.values()
    for word in re.findall(r"[^\W\d_]{2,}", f"{words.titles}|{words.greetings}|{words.closings}|{words.labels}".lower())
)
"""What a candidate may begin with and a name does not: "Frau Weiss", "Hola Ana"."""
