"""Sentences that chatbots say of themselves, and what is left over from copying out of their windows."""

import re

_I_AM = r"\b(?:i am|i['’]m)\s+(?:just\s+|only\s+|simply\s+|actually\s+)?"
_MODEL = r"(?:(?:large\s+)?language model|ai(?:[\s-]+(?:powered\s+)?(?:language\s+)?(?:model|assistant|chatbot))?|artificial intelligence|chatbot)\b"
_PATTERNS = [
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        rf"\bas\s+(?:an?|your)\s+{_MODEL}(?=,|\s+(?:i\b|developed|created|trained|made|designed|and\s+i\b))",
        rf"{_I_AM}(?:an?\s+)?{_MODEL}",
        rf"{_I_AM}(?:chatgpt|gpt-?\d|claude|gemini|bard|copilot|deepseek|llama|qwen)\b",
        rf"{_I_AM}(?:an?\s+[\w\s-]{{0,40}})?(?:developed|created|trained|made|built)\s+by\s+(?:openai|anthropic|google|microsoft|meta|deepseek|alibaba)",
        r"\bmy\s+(?:knowledge|training)(?:\s+data)?\s+cut-?\s?off\b",
        r"\b(?:as of|up to|until)\s+my\s+(?:last|latest)\s+(?:knowledge\s+|training\s+)?(?:update|cut-?off)\b",
        r"\bmy\s+training\s+data\s+(?:only\s+)?(?:goes|extends|ends|includes|is\s+current)\b",
        r"\bi\s+(?:can['’]?t|cannot|don['’]t\s+have\s+the\s+ability\s+to)\s+browse\s+the\s+(?:internet|web)\b",
        r"^\s*(?:chatgpt|claude|gemini|copilot)\s+said:",
        r"^\s*regenerate response\s*$",
        r":contentReference\[oaicite|oaicite:\d|\bturn\d+(?:search|view|news)\d+\b|[?&]utm_source=(?:chatgpt|openai)\b",
        r"(?:作为|身为)一?[个名款种位]?(?:由\w{2,12}(?:开发|训练|研发)的)?(?:ai|人工智能|大型|大)?(?:语言)?(?:模型|助手)(?=[，,、]|\s*我)",
        r"(?:作为|身为)一?[个名款种位]?(?:ai|人工智能)(?=[，,、]|\s*我)",
        r"我(?:只)?是(?:一)?[个名款种位]?(?:由\w{2,12}(?:开发|训练|研发)的)?(?:ai|人工智能|大型语言|大语言|语言)(?:语言)?(?:模型|助手|机器人|程序)",
        r"我是(?:chatgpt|文心一言|通义千问|豆包|kimi|deepseek|讯飞星火|智谱清言)",
        r"(?:截至|截止到?|直到)我(?:的)?(?:最后|上次|最近|最新)?(?:一次)?(?:的)?(?:知识|训练)(?:数据)?(?:更新|截止)",
        r"我的(?:知识|训练数据|训练)(?:库)?(?:截止|只?更新到|截至)",
    )
]


def find_chatbot(text: str) -> list[str]:
    """Return the words in which a chatbot speaks of itself, those at the start of the text first, each once."""
    found = [match for pattern in _PATTERNS if (match := pattern.search(text))]
    return list(dict.fromkeys(match.group().strip() for match in sorted(found, key=lambda match: match.start())))
