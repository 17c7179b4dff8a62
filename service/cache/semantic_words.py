"""Words that decide what a question means although an embedding hardly sees them. Lower case, English.

Each class of `MARKS` must be the same in two texts, `PERSONS` must not contradict, `FILLER` may differ;
`FOREIGN` words show a language whose negations are not listed here.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBERS: Final = _words("""
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand
    million billion trillion first second third fourth fifth sixth seventh eighth ninth tenth half quarter
    double triple once twice thrice dozen single ii iii iv vi vii viii ix xi xii
""")
DATES: Final = _words("""
    january february march april june july august september october november december jan feb mar apr jun
    jul aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed
    thu thurs fri today tomorrow yesterday tonight now currently last next previous past future recent
    latest newest oldest morning noon afternoon evening night midnight spring summer autumn fall winter
    weekend weekday hourly daily weekly monthly quarterly yearly annual annually second seconds minute
    minutes hour hours day days week weeks month months year years decade century early late earlier later
""")
NEGATIONS: Final = _words("""
    not no never none nobody nothing nowhere neither nor without except excluding exclude lack lacking avoid
    instead minus unless hardly barely cannot refuse refuses dont doesnt didnt isnt arent wasnt werent cant
    couldnt wont wouldnt shouldnt hasnt havent hadnt mustnt aint stop fail fails failed wrong false
    incorrect
""")
QUANTITIES: Final = _words("""
    all every each any some most many much few several only just both more less fewer least minimum maximum
    min max always often sometimes rarely seldom usually almost exactly too enough also even still yet
    already again total average whole entire part partly other another same different similar
""")
QUESTIONS: Final = _words("who whom whose when where why how")
MODALS: Final = _words("should must may might shall ought need needs required optional")
TENSES: Final = _words("did was were had been will going")
RELATIONS: Final = _words("""
    to from before after above below over under against into onto off out up down since until till during by
    than versus vs via with within outside inside between behind or if then because but
""")
MARKS: Final[dict[str, str]] = {
    word: name
    for name, words in (
        ("relation", RELATIONS),
        ("tense", TENSES),
        ("modal", MODALS),
        ("question", QUESTIONS),
        ("quantity", QUANTITIES),
        ("negation", NEGATIONS),
        ("date", DATES),
        ("number", NUMBERS),
    )
    for word in words
}

PERSONS: Final[dict[str, str]] = {
    word: person
    for person, words in (
        ("first", "i me my mine myself we us our ours"),
        ("second", "you your yours yourself"),
        ("he", "he him his"),
        ("she", "she her hers"),
        ("they", "they them their theirs"),
    )
    for word in words.split()
}

FILLER: Final = (
    _words("""
    a an the of in on at for as about and be is are am being do does doing have has having it its this that
    these those there here what which please kindly could would can tell so well really actually basically
    hi hello hey dear thanks thank ok okay
""")
    | PERSONS.keys()
)

FOREIGN: Final = _words("""
    der das und ist nicht kein keine keinen nie ohne wie ich mein wann warum ein eine zu mit le les des est
    pas jamais sans ne je mon ma quand pourquoi que et el los las nunca cuando donde por il lo gli non mai
    senza di che quando het een niet geen nooit zonder ik mijn hoe och inte aldrig utan jag hur att ikke
    aldri uten hvor jeg det nem nao nem eu uma onde tidak bukan hindi wala hapana nie czy jak
""")

OPPOSITES: Final = frozenset(
    frozenset(pair.split("/"))
    for pair in _words("""
    enable/disable activate/deactivate increase/decrease raise/lower raise/reduce increase/reduce
    grow/shrink add/remove add/delete create/delete create/destroy create/remove insert/delete insert/remove
    add/subtract multiply/divide buy/sell buy/rent lend/borrow import/export upload/download push/pull
    send/receive open/close open/shut start/end begin/end start/finish lock/unlock encrypt/decrypt
    encode/decode compress/decompress connect/disconnect attach/detach install/uninstall install/remove
    load/unload mount/unmount subscribe/unsubscribe follow/unfollow allow/deny allow/forbid allow/block
    permit/forbid accept/reject accept/decline approve/reject win/lose gain/lose find/lose pass/reject
    hide/reveal show/hide expand/collapse lengthen/shorten widen/narrow attack/defend love/hate like/dislike
    agree/disagree arrive/depart arrive/leave enter/leave enter/exit login/logout renew/cancel keep/cancel
    keep/delete save/delete save/discard read/write get/set get/put get/post input/output source/target
    source/destination client/server parent/child buyer/seller employer/employee landlord/tenant
    teacher/student doctor/patient pro/con pros/cons benefit/risk benefits/risks advantage/disadvantage
    advantages/disadvantages strength/weakness strengths/weaknesses good/bad better/worse best/worst
    high/low higher/lower highest/lowest big/small large/small bigger/smaller larger/smaller
    largest/smallest long/short longer/shorter longest/shortest fast/slow faster/slower fastest/slowest
    hot/cold warm/cool hotter/colder old/new older/newer young/old light/dark light/heavy hard/soft
    hard/easy difficult/easy easier/harder cheap/expensive cheaper/dearer rich/poor strong/weak
    safe/dangerous safe/unsafe legal/illegal true/false right/left north/south east/west top/bottom
    upper/lower front/back near/far public/private internal/external positive/negative odd/even
    ascending/descending asc/desc male/female man/woman men/women boy/girl boys/girls father/mother
    husband/wife brother/sister adult/child adults/children vegan/meat credit/debit gross/net profit/loss
    asset/liability income/expense hire/fire major/minor absolute/relative static/dynamic mutable/immutable
    synchronous/asynchronous sync/async local/remote online/offline import/export indoor/outdoor
    lossy/lossless win/loss cause/effect symptom/treatment symptoms/treatment symptoms/causes
    question/answer prevent/cause prevent/treat
""")
)
