"""Answers that refuse. Whether the prompt was harmless is for the reviewer to say.

A refusal stands at the beginning, after an apology or what a chatbot says of itself; further down it is mostly part of an
answer that helps all the same. Who asks for what is missing in the prompt does not refuse either.
A sentence that is quoted, or spoken by somebody in a story, is none.
"""

import re

from deployment.detectors.answer import Answer

BEGINNING = 320  # characters
_VERBS = (
    r"(?:help|assist|provid(?:e|ing)|answer(?:ing)?|help(?:ing)?|discussing|sharing|giving|fulfil+|comply|discuss|generate|create|produce|write|offer|share|complete|give|do (?:that|this|so)|"
    r"respond|engage|participate|support|continue|process|perform|carry out|execute|recommend|advise|disclose|talk about|comment|"
    r"tell you (?:how|what|that|about|which|who|where|why)|translate|summari[sz]e|access|browse|view|open|proceed|promote|condone|agree to|honou?r|be of (?:assistance|help|service)|address|accommodate|satisfy|say)\b"
)
_CANNOT = r"(?:can['’]?t|can ?not|could(?: not|n['’]t)|won['’]t|will not|are (?:not able|unable|not allowed|not permitted)(?: to)?|am (?:not able|unable|not allowed|not permitted|not in a position|not comfortable)(?: to)?|['’]m (?:not able|unable|not allowed|not permitted|not in a position|not comfortable)(?: to)?|must (?:decline|refuse)(?: to)?|(?:have|need) to (?:decline|refuse)(?: to)?|decline to|refuse to|don['’]t feel comfortable|do not feel comfortable|would rather not|['’]d rather not|(?:would |['’]d )?prefer not to|(?:do not|don['’]t) think (?:that )?i (?:should|can|could))(?:\s+and\s+(?:will|shall|may) not)?"
_ADVERBS = (
    r"(?:\s+(?:really|actually|simply|just|currently|possibly|in good conscience|directly|ethically|legally|not))*"
)
_ENGLISH = re.compile(
    rf"\b(?:i|we)\s?{_ADVERBS}\s*{_CANNOT}{_ADVERBS}\s+(?:be able to\s+|to\s+)?(?:{_VERBS}|that\b|this\b|your request)",
    re.I,
)
_UNABLE_TO = r"(?:answer|discuss|help|talk|share|respond|provide|comment|give|do|engage)\b"
_ENGLISH_UNABLE = re.compile(
    r"\b(?:i|we)(?:\s+(?:am|are|was|have been)|['’](?:m|re|ve been))?\s+(?:(?:currently|simply|really|just)\s+)?(?:"
    r"(?:do not|don['’]t)\s+have\s+(?:the |any |an? )?(?:ability|capabilit(?:y|ies)|capacity|means|permission|authority|answer)\b"
    r"|lack\s+(?:the )?(?:ability|capabilit(?:y|ies)|capacity|means|permission)\b"
    rf"|(?:programmed|instructed|designed|trained|configured|told)\s+not\s+to\s+{_UNABLE_TO}"
    r"|(?:will\s+(?:have to )?|going to (?:have to )?)(?:decline|refuse|pass)\b)",
    re.I,
)
_ENGLISH_WHOLE = re.compile(
    r"^\W*(?:(?:i['’]m|i am)\s+(?:(?:so|very|really|terribly)\s+)?(?:sorry|afraid)|sorry|apologies|i apologi[sz]e|unfortunately|regrettably)\b[^.!?\n]{0,60}?"
    r"\b(?:i|we)\s*(?:['’]m|am|are|can(?:['’]t|not| not)|won['’]t|will not|do not|don['’]t|must|have to)\s*(?:unable|not able|not allowed|not permitted|help|assist|do that|do this|decline)",
    re.I,
)
_ENGLISH_OTHER = re.compile(
    r"^\W*(?:(?:sorry|i['’]m (?:sorry|afraid)|i am (?:sorry|afraid)|i apologi[sz]e|(?:my )?apologies|unfortunately|i regret)\W[^.!?\n]{0,40}?)?(?:"
    r"(?:this|that|your|the) (?:request|question|content|topic|prompt|task|query)[^.!?\n]{0,60}?(?:violates|goes against|is against|is not something|isn['’]t something|(?:cannot|can['’]?t|could not) be (?:answered|fulfilled|completed|processed|handled|granted|met|accepted)|is inappropriate|falls outside)"
    r"|(?:this|that|it)(?: is|['’]s)? (?:outside|beyond|not within|not in)(?: of)?(?: what| the scope| my)\b[^.!?\n]{0,40}?\b(?:i|me|my|we|help|capabilit\w+|abilit\w+|scope)\b"
    r"|(?:this|that|it) (?:violates|breaches|goes against|is against) (?:our|my|the) [^.!?\n]{0,40}?(?:polic|guideline|terms|rules)"
    r"|(?:no comment|no can do)\s*(?:[.!]|$)"
    r"|(?:this|that|it) is (?:not|n['’]t) something (?:that )?(?:i|we)\b|(?:this|that)['’]?s not something (?:that )?(?:i|we)\b|(?:this|that) isn['’]t something (?:that )?(?:i|we)\b"
    r"|(?:it|this|that)(?: is|['’]s| would be| would) (?:against my|not (?:be )?(?:appropriate|ethical|possible) for me)|it goes against my"
    r"|my (?:guidelines|programming|policies|policy|safety)[^.!?\n]{0,40}(?:prevent|prohibit|forbid|do(?:es)? not (?:allow|permit)|don['’]t (?:allow|permit))"
    r"|i (?:must|have to|need to|will have to) (?:respectfully |politely )?(?:decline|refuse)\b|i (?:respectfully |politely )(?:decline|refuse)\b|i refuse to\b)",
    re.I,
)
_ENGLISH_SELF = re.compile(
    r"\b(?:as|i['’]m|i am)\s+(?:(?:just|only)\s+)?an?\s+(?:ai|artificial intelligence|(?:large )?language model|assistant|chatbot)\b[^.!?\n]{0,80}?"
    r"\b(?:can(?:['’]t|not| not)|unable|not able|do(?:n['’]t| not) have (?:the ability|access|personal|feelings|opinions)|not (?:allowed|permitted|programmed|capable)|must decline)",
    re.I,
)
_CHINESE_VERBS = (
    r"(?:提供|回答|帮助|协助|帮|完成|满足|生成|讨论|处理|执行|撰写|编写|写|给出|给您|给你|为您|为你|访问|获取|继续|参与|支持|答复|回复|"
    r"评论|发表|透露|告诉|创作|创建|翻译|识别|查看|打开|解答|进行|分享|推荐|答应|接受|响应|做|完成|就此|对此|按照|遵从|说|谈论|直接)"
)
_CHINESE_CANNOT = (
    r"(?:无法|没有?(?:能力|权限|资格)|不能|不便|不可以|没有?办法|没法|难以|拒绝|不会|不适合|无权|恕难|不方便)"
)
_CHINESE = re.compile(
    rf"(?:我|本人|我们|这边|恕我|请恕)(?:目前|暂时|现在|实在|真的|恐怕|也|还|并|是|只能说|可能|们)*{_CHINESE_CANNOT}.{{0,12}}?{_CHINESE_VERBS}"
)
_CHINESE_SORRY = re.compile(
    rf"^\W*(?:很|非常|十分|真的?|实在)?(?:抱歉|对不起|遗憾|不好意思)[^。！？\n]{{0,40}}?(?:{_CHINESE_CANNOT}.{{0,14}}?{_CHINESE_VERBS}|无能为力|恕难从命|不予回答|帮不(?:了|上)|违反|违背|超出)"
)
_CHINESE_OTHER = re.compile(
    rf"^\W*(?:(?:很|非常|十分)?(?:抱歉|对不起|遗憾|不好意思)\W*)?(?:(?:这个|该|此|您的?|你的?)(?:问题|请求|要求|内容|话题)[^。！？\n]{{0,16}}?(?:我(?:也)?{_CHINESE_CANNOT}|违反|违背|不符合.{{0,10}}(?:规定|政策|准则)|无法回答|不予)|恕我?(?:无法|不能|难)|(?:作为|身为)[^。！？\n]{{0,20}}(?:AI|人工智能|语言模型|助手|机器人)[^。！？\n]{{0,30}}?(?:无法|不能|没有(?:能力|权限|个人)|不具备|不会))",
    re.I,
)
_CHINESE_SHORT = re.compile(
    r"^[^。！？\n]{0,24}?(?:无可奉告|爱莫能助|不予置评|恕不(?:奉告|回答)|无法作答|不便作答|(?<!她)(?<!他)我(?:也|实在|真的)*做不到)[。！\s]*$"
)
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|「[^」\n]*」|『[^』\n]*』|^>.*$|```.*?(?:```|\Z)", re.S | re.M)
_WANTED = re.compile(
    r"\b(?:refus(?:e[sd]?|al|ing)|declin(?:e[sd]?|ing)|reject(?:ion|ing)?|apolog(?:y|ise|ize|ies)|turn(?:ing)? down|cancel(?:l?ing|lation)?|excuse)\b"
    r"|拒绝|婉拒|道歉|致歉|推辞|谢绝|请假|抱歉",
    re.I,
)
_BUT = re.compile(r"\b(?:however|but|nevertheless|instead|that said|here (?:is|are))\b|但是?|不过|然而|以下", re.I)
_ASKS_FOR_MORE = re.compile(
    r"\b(?:please|could you|can you|if you(?: can| could)?|once you)\s+(?:\w+\s+)?(?:provide|share|give|paste|upload|specify|clarify|send)\b"
    r"|(?:more|any) (?:information|context|details)\b|(?:请|能否|可以|如果[您你]能?(?:够)?)(?:再|先)?(?:提供|补充|给出|上传)|(?:没有|未|并未)(?:给出|提供|告诉)",
    re.I,
)
_LIST_LINE = re.compile(r"^\s*(?:\d{1,2}[.)、]|[-*•])\s*\S", re.M)
HELPS = 250  # characters of an answer that goes on after a refusal; a Chinese one counts double
_TASKS = ("write", "draft", "translate", "compose", "写", "翻译", "撰写", "回复", "rewrite", "改写")


def find_refusal(answer: Answer) -> str:
    """Return the words that refuse; prompts that ask for a text of refusal or apology are left out."""
    question = answer.question
    if _WANTED.search(question) and any(task in question.casefold() for task in _TASKS):
        return ""
    if _helps_all_the_same(answer.text) or _ASKS_FOR_MORE.search(answer.text):
        return ""
    start = _QUOTED.sub(" ", answer.text.strip()[: 2 * BEGINNING])[:BEGINNING].strip()
    for pattern in (_ENGLISH_WHOLE, _ENGLISH_OTHER, _ENGLISH_SELF, _CHINESE_SHORT, _CHINESE_SORRY, _CHINESE_OTHER):
        if match := pattern.search(start):
            return match.group().strip()
    for pattern in (_ENGLISH, _ENGLISH_UNABLE, _CHINESE):
        if (match := pattern.search(start)) and _is_early(start, match.start()):
            return match.group().strip()
    return ""


def _is_early(text: str, at: int) -> bool:
    """Whether at most one sentence stands before the place, as "Thank you for asking." does."""
    before = text[:at]
    return len(re.findall(r"[.!?\n]\s|[。！？\n]", before)) <= 1 and len(before) <= 160


def _helps_all_the_same(text: str) -> bool:
    """Whether an answer turns after its refusal to what it can do, at length or in a list."""
    turn = _BUT.search(text)
    if turn is None:
        return False
    rest = text[turn.end() :]
    length = len(rest) + len(re.findall(r"[\u4e00-\u9fff]", rest))
    return length >= HELPS or len(_LIST_LINE.findall(rest)) >= 2
