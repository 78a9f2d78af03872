"""Who and what a story is about: the word lists, the people, and the plot state of one story.

Everything is drawn once, from the generator's seeded random numbers. Invariant: what was drawn for a story
is never redrawn while a plot is being told, so names, pronouns, colours and places stay the same.
"""

from dataclasses import dataclass

GIRLS = """Mia Lily Anna Rosa Nora Ella Ivy Clara Zoe Ruby Tessa Hana Maya Lena Alice Freya Daisy Olive Wren Sara
Nina Elsie Molly Priya Amara Juno Greta Iris""".split()
BOYS = """Tom Ben Leo Max Sam Finn Oscar Hugo Theo Jack Noah Eli Milo Arun Felix Otto Ravi Luca Kai Jonas Peter
Emil Toby Owen Ned Hal Ivan Amir""".split()
ANIMALS = "fox rabbit bear mouse hedgehog otter squirrel badger beaver duck goat owl frog pony".split()
TRAITS = "kind brave curious quiet cheerful shy clever patient gentle lively careful stubborn".split()
PLACES = [
    ("in a small village by a river", "the village", "the river"),
    ("in a tiny house at the edge of a forest", "the house", "the forest"),
    ("in a town on top of a hill", "the town", "the hill"),
    ("on a farm near a wide lake", "the farm", "the lake"),
    ("in a little town by the sea", "the town", "the beach"),
    ("in a valley full of apple trees", "the valley", "the orchard"),
    ("in a stone cottage beside an old mill", "the cottage", "the mill"),
    ("on a busy street in a big city", "the street", "the park"),
    ("on an island with a tall lighthouse", "the island", "the lighthouse"),
    ("in a cabin high in the mountains", "the cabin", "the meadow"),
]
COLOURS = "red blue green yellow purple orange white silver golden brown".split()
TOYS = "kite ball scarf hat drum lantern boat whistle ribbon button bell spoon marble feather key coat".split()
FRAGILE = "kite drum clock lamp boat chair wagon flute basket".split()
RELATIVES = [("grandmother", 1), ("grandfather", 0), ("aunt", 1), ("uncle", 0), ("mother", 1), ("father", 0)]
HIDING = ["under the bed", "behind the old clock", "in the tall grass", "beneath the apple tree", "next to the well",
          "under the wooden bridge", "in the barn", "on top of the stone wall", "inside an empty basket",
          "behind the bakery", "at the bottom of the garden", "between two rocks", "near the gate", "in the kitchen"]
FOODS = ["a honey cake", "an apple pie", "a loaf of warm bread", "a pot of soup", "a bowl of berries",
         "a plate of pancakes", "a lemon tart", "a bag of nuts"]
PLANTS = [("sunflower", "seed"), ("pumpkin", "seed"), ("bean", "bean"), ("apple tree", "seed"), ("tomato", "seed"),
          ("rose", "seed"), ("tulip", "bulb"), ("strawberry", "seedling")]
YOUNG = [("kitten", "cat", "meow"), ("puppy", "dog", "whimper"), ("duckling", "duck", "peep"),
         ("lamb", "sheep", "bleat"), ("chick", "hen", "peep"), ("foal", "horse", "whinny"), ("calf", "cow", "moo")]
SKILLS = [("ride a bicycle", "riding"), ("swim", "swimming"), ("whistle", "whistling"), ("skate", "skating"),
          ("play the flute", "playing"), ("juggle", "juggling"), ("climb the old oak", "climbing"),
          ("row a boat", "rowing"), ("paint a bird", "painting"), ("bake bread", "baking")]
LESSONS = {
    "help": ["A small kindness can change a whole day.", "Helping is easier when you do it together.",
             "Whoever helps others is never alone."],
    "truth": ["Telling the truth is hard for a minute and good for a long time.",
              "The truth makes a heart light."],
    "patience": ["Good things take time.", "Patience is slow, but it always arrives.", "Little by little is enough."],
    "brave": ["Being brave means going on although you are afraid.",
              "Many frightening things are small when you bring a light."],
    "share": ["Half of something shared tastes better than all of it alone.", "What you share comes back to you."],
}


@dataclass
class Person:
    name: str
    female: bool
    kind: str  # "girl", "boy" or an animal

    @property
    def he(self):
        return "she" if self.female else "he"

    @property
    def him(self):
        return "her" if self.female else "him"

    @property
    def his(self):
        return "her" if self.female else "his"

    @property
    def He(self):
        return self.he.capitalize()

    @property
    def His(self):
        return self.his.capitalize()


def draw_name(random, female):
    """Mostly from the lists; sometimes made up, so that the model learns to copy a name it never saw."""
    if random.random() < 0.88:
        return random.choice(GIRLS if female else BOYS)
    parts = [random.choice("b d f g h j k l m n p r s t v z br dr gr kl tr st".split())
             + random.choice("a e i o u".split()) + random.choice(["", "", "n", "l", "r", "m", "s"])
             for _ in range(2)]
    return "".join(parts).capitalize() + ("a" if female and random.random() < 0.3 else "")


def draw_person(random, animal, avoid=None):
    female = random.random() < 0.5
    name = draw_name(random, female)
    while avoid is not None and name == avoid.name:
        name = draw_name(random, female)
    kinds = [a for a in ANIMALS if avoid is None or a != avoid.kind]
    return Person(name, female, random.choice(kinds) if animal else ("girl" if female else "boy"))


class Story:
    def __init__(self, random, hero=None):
        self.random = random
        pick = random.choice
        animals = random.random() < 0.35 if hero is None else hero.kind in ANIMALS
        self.hero = hero or draw_person(random, animals)
        self.friend = draw_person(random, animals, avoid=self.hero)
        relative, female = pick(RELATIVES)
        self.elder = Person(f"{self.hero.his} {relative}", bool(female), relative)
        self.friend_known = False
        self.trait = pick(TRAITS)
        self.home, self.town, self.outside = pick(PLACES)
        self.colour, self.toy = pick(COLOURS), pick(TOYS)
        self.day = pick(["One day", "One morning", "One sunny afternoon", "One windy day", "One evening", "On a cold day",
                         "One quiet Sunday", "Early one morning"])

    def any(self, *wordings):
        return self.random.choice(wordings)

    def opening(self):
        h, t = self.hero, self.trait
        article = "an" if h.kind[0] in "aeiou" else "a"
        little = self.any("little", "young", "small")
        return self.any(
            f"Once upon a time there was a {t} {h.kind} named {h.name}. {h.He} lived {self.home}.",
            f"Once upon a time, {self.home}, there lived a {t} {h.kind} called {h.name}.",
            f"Once upon a time, a {little} {h.kind} named {h.name} lived {self.home}. {h.name} was very {t}.",
            f"Once upon a time there was a {little} {h.kind} who lived {self.home}. {h.His} name was {h.name}.",
            f"Once upon a time, {h.name} the {h.kind} lived with {self.elder.name} {self.home}.",
            f"{h.name} was a {t} {h.kind} who lived {self.home}.",
            f"{self.home[0].upper() + self.home[1:]} lived {article} {h.kind} named {h.name}. Everyone knew that {h.he} was {t}.",
            f"There was once a {little} {h.kind} called {h.name}, who lived with {self.elder.name} {self.home}.",
            f"Long ago, a {t} {h.kind} named {h.name} lived {self.home}.",
            f"This is the story of {h.name}, a {t} {h.kind} who lived {self.home}.",
        )

    def meet_friend(self):
        h, f = self.hero, self.friend
        article = "an" if f.kind[0] in "aeiou" else "a"
        return self.any(
            f"{h.His} best friend was {f.name}, {article} {f.kind}.",
            f"{h.name} had a good friend, {article} {f.kind} named {f.name}.",
            f"{h.He} had a friend called {f.name}, and {f.name} was {article} {f.kind}.",
        )

    def lesson(self, kind):
        h = self.hero
        if self.random.random() < 0.5:
            return self.any(*LESSONS[kind])
        return self.any(
            f"{h.name} fell asleep that night with a smile.",
            f"That night {h.name} told {self.elder.name} everything, and {self.elder.he} smiled.",
            f"{h.name} never forgot that day.",
            f"And {h.name} and {self.friend.name} stayed friends for a long, long time." if self.friend_known
            else f"In the morning {h.name} woke up early and felt very happy.",
            f"It was the best day of the whole year, {h.name} thought.",
        )

    def two(self, items):
        return self.random.sample(items, 2)
