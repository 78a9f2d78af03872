"""The questions of questions/*.txt and the many ways in which training asks them.

A block of a file is: "= topic | alias" (a noun phrase) or "~ topic" (a clause such as "why ..."), lines
"? phrasing" that are trained, one line "! phrasing" that is held out, and the answer. Invariant: no text
that equals a held-out phrasing, apart from case and punctuation, ever leaves `ask`, also not with
a greeting or a request around it.
"""

import glob
import os
import re
from dataclasses import dataclass, field


@dataclass
class Question:
    topics: list
    is_noun: bool
    phrasings: list = field(default_factory=list)
    held_out: str = ""
    answer: str = ""


NOUN_PATTERNS = """What {is} {T}?|What's {T}?|what {is} {T}|How {does} {T} work?|Why {is} {T} useful?|What {is} {T} good for?
What {is} {T} used for?|What {is} the point of {T}?|What {is} the benefit of {T}?|What {is} the advantage of {T}?
What {is} the purpose of {T}?|What do you know about {T}?|Why {does} {T} matter?|What exactly {is} {T}?|What does {T} mean?
Why do engines use {T}?|Why do we need {T}?|What do I need to know about {T}?|I keep hearing about {T}. What {is} it?
Do you know what {T} {is}?|What can you say about {T}?|So what {is} {T}?|What problem {does} {T} solve?|Define {T}.
What {does} {T} do?|What {is} meant by {T}?|What {is} the idea of {T}?|How {is} {T} used?|Why would I want {T}?""".replace("\n", "|").split("|")
ANY_PATTERNS = """Explain {T}.|Explain {T}|Can you explain {T}?|Could you explain {T} to me?|Please explain {T}.|Tell me about {T}.
Tell me more about {T}.|Please tell me something about {T}.|I want to understand {T}.|Describe {T}.|Explain {T} to a beginner.
Help me understand {T}.|{T}|{T}?|Give me a short explanation of {T}.|I do not understand {T}.|explain {T} please
Explain {T} in one or two sentences.|Explain briefly: {T}.|Let's talk about {T}.|Summarise {T}.|I'd like to learn about {T}.
Give me a quick overview of {T}.|Write a short paragraph about {T}.|What should a newcomer know about {T}?""".replace("\n", "|").split("|")
# Never used in training: the evaluation's second, easier measure.
HELD_OUT_PATTERNS = ["Can you tell me about {T}?", "In simple words, explain {T}.", "I have a question about {T}.",
                     "How would you describe {T}?", "Teach me about {T}, please."]
BEFORE = ["Please tell me: ", "Quick question: ", "Hi! ", "Hello, ", "I was wondering: ", "Hey, ", "Question: ", "Tell me, ",
          "Can you help me? ", "I am new to this. ", "Sorry for the simple question. ", "OK, ", "And ", "One more thing: "]
AFTER = [" Please be brief.", " Thanks!", " Can you explain?", " I am new to this.", " Explain it simply.", " Thank you.",
         " Please explain.", " I never understood that."]
SWAPS = [("quantisation", "quantization"), ("quantised", "quantized"), ("KV cache", "key-value cache"), ("What is", "What's"),
         ("an engine", "an inference engine"), ("an engine", "a server"), ("the engine", "the server"), ("answer", "response"),
         ("model", "LLM"), ("language model", "LLM"), ("good for", "useful for"), ("How does", "In what way does"),
         ("Why do", "Why should"), ("What does", "What exactly does"), ("request", "query"), ("detokenization", "detokenisation"),
         ("speed", "performance"), ("How do I", "How can I"), ("How can", "How could"), ("device", "GPU"), ("several", "multiple"),
         ("What is the difference between", "How do you compare"), ("What happens", "What is going on"), ("fast", "quick"),
         ("split", "divided"), ("chosen", "selected"), ("work?", "function?"), ("Why is", "What is the reason that"),
         ("memory", "RAM"), ("tokens", "words"), ("large", "big"), ("the benefit", "the advantage"), ("save", "reduce")]


def load():
    questions = []
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "questions", "*.txt"))):
        with open(path, encoding="utf-8") as file:
            for line in file.read().splitlines():
                if line[:2] in ("= ", "~ "):
                    questions.append(Question([t.strip() for t in line[2:].split("|")], line[0] == "="))
                elif line.startswith("? "):
                    questions[-1].phrasings.append(line[2:])
                elif line.startswith("! "):
                    questions[-1].held_out = line[2:]
                elif line:
                    assert not questions[-1].answer, line
                    questions[-1].answer = line
    for question in questions:
        assert len(question.phrasings) >= 3 and question.held_out and question.answer, question
    held_out = {plain(q.held_out) for q in questions}
    assert len(held_out) == len(questions)
    for question in questions:
        assert not held_out & {plain(p) for p in question.phrasings}, question
    return questions


def plain(text):
    return " ".join(re.findall(r"[a-z0-9]+", text.lower().replace("what's", "what is")))


def fill(pattern, topic):
    last = topic.split()[-1]
    plural = last.endswith("s") and not last.endswith(("ss", "is", "us")) and last not in ("logprobs", "max_tokens", "max_num_seqs", "ignore_eos")
    text = pattern.replace("{is}", "are" if plural else "is").replace("{does}", "do" if plural else "does")
    text = text.replace("{T}", topic)
    return text[0].upper() + text[1:] if pattern.startswith("{T}") else text


def damage(random, text):
    """What people type in haste: no capitals, no question mark, a missing word, swapped letters."""
    if random.random() < 0.30:
        text = text.lower()
    if random.random() < 0.25:
        text = text.rstrip("?.")
    words = text.split(" ")
    if len(words) > 4 and random.random() < 0.15:
        del words[random.randrange(len(words))]
    if len(words) > 5 and random.random() < 0.06:
        words = [w for w in words if random.random() < 0.75] or words
    if random.random() < 0.06:
        index = random.randrange(len(words))
        word = words[index]
        if len(word) > 4:
            at = random.randrange(1, len(word) - 2)
            words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def ask(random, question, forbidden):
    """One phrasing of the question for training."""
    while True:
        kind = random.random()
        if kind < 0.60:
            text = random.choice(question.phrasings)
        elif kind < 0.82 and question.is_noun:
            text = fill(random.choice(NOUN_PATTERNS), random.choice(question.topics))
        else:
            text = fill(random.choice(ANY_PATTERNS), random.choice(question.topics))
        for _ in range(random.choice((0, 0, 1, 2))):
            old, new = random.choice(SWAPS)
            text = text.replace(old, new, 1)
        if plain(text) in forbidden:  # before anything is put around it
            continue
        if random.random() < 0.12:
            text = random.choice(BEFORE) + text
        if random.random() < 0.08:
            text += random.choice(AFTER)
        text = damage(random, text)
        if plain(text) not in forbidden and text.strip():
            return text
