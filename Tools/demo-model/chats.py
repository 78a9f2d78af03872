"""ChatML conversations for training: questions on inference engines, story requests and small talk.

A conversation is a list of (role, text). Some have a system message and some have several turns, so that
the template works either way. Invariant: answers to engine questions are the reference texts, unchanged.
"""

import phrasings
import stories
from cast import draw_person

SYSTEM = ["You are a helpful assistant.", "You are a friendly teacher.", "You answer questions about inference engines.",
          "You are Swiftlet's demo model.", "Be brief.", "You are a helpful assistant. Answer in two or three sentences.",
          "Answer truthfully and clearly.", "You are an expert in LLM inference.", "You are a small language model."]
UNKNOWN = ("I am a very small model and do not know that. I can explain how inference engines for language models work, "
           "or tell you a short story.")
SMALL_TALK = [
    (["Hello!", "Hi", "Hello", "Hey there!", "Good morning!", "Hi there.", "hello"],
     "Hello! Ask me how language model inference works, or ask me for a short story."),
    (["Who are you?", "What are you?", "Are you an AI?", "Introduce yourself.", "What is your name?", "Which model are you?"],
     "I am the demo model of Swiftlet, a language model of under four million parameters that lives inside the program. "
     "I know a little about inference engines and tell short stories."),
    (["What can you do?", "What can I ask you?", "Help", "How can you help me?", "What do you know?"],
     "I can explain how inference engines work: paging, batching, sampling, quantisation and more. I can also tell "
     "short stories about people and animals. For anything else, load a larger model."),
    (["Thanks!", "Thank you.", "Thank you very much!", "thanks a lot", "Great, thanks!"],
     "You are welcome! Is there anything else you would like to know?"),
    (["Goodbye!", "Bye", "See you later.", "bye bye"], "Goodbye! Come back whenever you have a question."),
]
OFF_TOPIC = """What is the capital of {country}?|Who is the president of {country}?|What is {number} plus {number}?|What is {number} times {number}?
How is the weather today?|Who won the football game?|Write a poem about {thing}.|How do I cook {food}?|Translate "{thing}" into French.
What is the population of {country}?|Write a Python program that sorts a list.|Who wrote Hamlet?|How old are you?|Can you recommend a book?
What is the meaning of life?|When was {country} founded?|How far away is the moon?|What should I eat today?|How do I get to {country}?
Tell me the news.|What is the tallest mountain?|Is {food} healthy?|Where can I buy {thing}?|What time is it?|Who invented the {thing}?
Do you like {food}?|What is the best film?|How tall is a {animal}?|What do {animal}s eat?|Tell me a joke.""".replace("\n", "|").split("|")
FILLERS = {
    "country": "France Germany Japan Brazil Canada Kenya Italy Spain Norway India Peru Egypt Poland".split(),
    "number": [str(n) for n in range(2, 40)],
    "thing": "bicycle moon umbrella telephone garden guitar piano sea tree house car train radio spring".split(),
    "food": "rice pasta soup bread fish potatoes pizza eggs cheese beans".split(),
    "animal": "lion giraffe whale elephant snake cow horse penguin".split(),
}
STORY_REQUESTS = ["Tell me a story{about}.", "Tell me a short story{about}.", "Write a story{about}.", "Can you tell me a story{about}?",
                  "Please write a short story{about}.", "I want to hear a story{about}.", "tell me a story{about}", "A story{about}, please.",
                  "Make up a story{about}."]
THEMES = {stories.race: "a race", stories.storm: "a storm", stories.garden: "a seed", stories.birthday: "a birthday",
          stories.snow: "winter", stories.treasure: "a treasure map", stories.toy_boat: "a boat",
          stories.lost_young: "a lost animal", stories.truth: "telling the truth", stories.sharing: "sharing"}


def story_request(random):
    kind = random.random()
    if kind < 0.2:
        return random.choice(STORY_REQUESTS).format(about=""), stories.story(random, plots=[random.choice(stories.PLOTS)])
    plot = random.choice(list(THEMES) if kind < 0.6 else stories.PLOTS)
    hero = draw_person(random, random.random() < 0.4)
    article = "an" if hero.kind[0] in "aeiou" else "a"
    who = random.choice([hero.name, f"{article} {hero.kind} named {hero.name}", f"{article} {hero.kind} called {hero.name}", hero.name])
    if kind < 0.3:
        about, hero = " about " + THEMES[plot], None
    elif kind < 0.6:
        about = f" about {who} and {THEMES[plot]}"
    else:
        about = f" about {who}"
    return random.choice(STORY_REQUESTS).format(about=about), stories.story(random, hero=hero, plots=[plot])


def off_topic(random):
    text = random.choice(OFF_TOPIC)
    for name, words in FILLERS.items():
        while "{" + name + "}" in text:
            text = text.replace("{" + name + "}", random.choice(words), 1)
    return phrasings.damage(random, text)


def turn(random, questions, forbidden, kind):
    if kind < 0.86:
        question = questions.pop() if questions else None
        if question is not None:
            return phrasings.ask(random, question, forbidden), question.answer
    if kind < 0.93:
        return story_request(random)
    if kind < 0.97:
        return off_topic(random), UNKNOWN
    asked, answer = random.choice(SMALL_TALK)
    return random.choice(asked), answer


def conversation(random, questions, forbidden):
    """Takes its questions off the end of the list `questions`, which the caller keeps shuffled and filled."""
    messages = []
    if random.random() < 0.25:
        messages.append(("system", random.choice(SYSTEM)))
    for _ in range(random.choices([1, 2, 3, 5, 9], [0.77, 0.13, 0.05, 0.03, 0.02])[0]):
        asked, answer = turn(random, questions, forbidden, random.random())
        messages += [("user", asked), ("assistant", answer)]
    return messages
