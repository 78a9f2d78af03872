"""Short stories from a seeded generator that keeps a plot state.

A cast (hero, friend, elder), a home place and the things in play are drawn once and every sentence reads
from them, so names, pronouns, objects, colours and places stay the same to the end. Each plot is a list of
beats with several wordings. Invariant: whatever a story mentions was drawn before and is never redrawn.
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


def lost_object(s):
    h, f, e = s.hero, s.friend, s.elder
    thing = f"{s.colour} {s.toy}"
    wrong, right = s.two(HIDING)
    return [
        s.any(f"{h.name} loved {h.his} {thing} more than anything else, because {e.name} had made it.",
              f"{h.name} had a {thing}. It was a present from {e.name}." if s.colour != "orange" else
              f"{h.name} had an {thing}. It was a present from {e.name}.",
              f"{h.He} always carried {h.his} {thing}, which {e.name} had given {h.him}."),
        s.any(f"{s.day}, the {thing} was gone.", f"{s.day}, {h.name} could not find the {thing} anywhere.",
              f"{s.day}, {h.name} came home from {s.outside} and saw that the {thing} was missing."),
        s.any(f'"Where is my {s.toy}?" {h.he} cried.', f'"Oh no," said {h.name}. "I have lost my {s.toy}!"',
              f"{h.name} felt so sad that {h.he} began to cry."),
        s.any(f'"I will help you look," said {f.name}.', f"{f.name} heard {h.him} and came to help.",
              f"{f.name} put a hand on {h.his} shoulder. \"We will find it together,\" {f.he} said."
              if h.kind in ("girl", "boy") else f'"Do not worry," said {f.name}. "We will find it together."'),
        s.any(f"First they looked {wrong}, but there was only dust and an old leaf.",
              f"They searched {wrong}, but the {s.toy} was not there.",
              f'"Maybe it is {wrong}," said {f.name}. They looked, but they found nothing.'),
        s.any(f"Then {h.name} remembered that {h.he} had played {right} the day before.",
              f"Then {f.name} had an idea. \"Did you not sit {right} yesterday?\" {f.he} asked.",
              f"They sat down and thought. At last {h.name} remembered the place {right}."),
        s.any(f"They ran there, and the {thing} was lying {right}, just where {h.name} had left it.",
              f"They hurried back, and there, {right}, was the {thing}!",
              f"Sure enough, the {thing} was {right}, waiting for {h.him}."),
        s.any(f'{h.name} held it tight. "Thank you, {f.name}," {h.he} said.',
              f"{h.name} was so happy that {h.he} danced, and {f.name} danced too.",
              f'"We found it!" shouted {h.name}, and {h.he} hugged {f.name}.'),
        s.lesson("help"),
    ]


def mending(s):
    h, f, e = s.hero, s.friend, s.elder
    thing = s.any(*FRAGILE)
    cause = s.any("tripped over a stone", "ran too fast around the corner", "slipped on the wet floor",
                  "was not looking")
    tool = s.any("a little glue and some string", "a hammer and two nails", "a needle and strong thread",
                 "a piece of wood and some wire")
    return [
        s.any(f"{h.name} had a {s.colour} {thing} that had once belonged to {e.name}."
              if s.colour != "orange" else f"{h.name} had an orange {thing} that had once belonged to {e.name}.",
              f"The thing {h.name} loved most was the {s.colour} {thing} in {h.his} room."),
        s.any(f"{s.day}, {h.name} {cause}, and the {thing} fell and broke.",
              f"{s.day}, {h.name} was playing with {f.name}. {h.He} {cause}. Crack! The {thing} was broken."),
        s.any(f'"What have I done?" whispered {h.name}.', f"{h.name} looked at the pieces and felt terrible.",
              f"For a while {h.name} did not say a word."),
        s.any(f"{h.He} wanted to hide the pieces, but then {h.he} took them to {e.name} and told the truth.",
              f'{h.He} went to {e.name}. "I broke the {thing}," {h.he} said. "I am sorry."'),
        s.any(f'{e.He} was not angry. "Things break," {e.he} said. "Let us mend it."',
              f'"Thank you for telling me," said {e.name}. "Broken things can be mended."'),
        s.any(f"They took {tool} and worked until evening.", f"With {tool}, they put the pieces together one by one.",
              f"{e.name[0].upper() + e.name[1:]} showed {h.him} how to use {tool}, and they worked side by side."),
        s.any(f"When they had finished, the {s.colour} {thing} was as good as new.",
              f"The {thing} had a small crack now, but {h.name} loved it even more.",
              f"At last the {thing} was whole again."),
        s.any(f"{h.name} showed it to {f.name}, who could hardly believe it.",
              f'"You did that yourself?" asked {f.name}. "We did it together," said {h.name}.'),
        s.lesson("truth"),
    ]


def storm(s):
    h, f = s.hero, s.friend
    shelter = s.any("a hollow tree", "an old barn", "a small cave", "an empty hut", "a stone bridge")
    preposition = "under" if "bridge" in shelter else "in"
    noun = shelter.split(" ", 1)[1]
    food = s.any(*FOODS)
    return [
        s.any(f"{s.day}, {h.name} and {f.name} went for a walk to {s.outside}.",
              f"{s.day}, {h.name} asked {f.name} to come along to {s.outside}."),
        s.any(f"They took {food} with them in a basket.", f"In {h.his} basket {h.name} carried {food}."),
        s.any("The sky was blue when they left, but soon dark clouds came.",
              "At first the sun was shining. Then the wind began to blow."),
        s.any("Rain began to fall, first a few drops and then a great deal.",
              "There was a flash, and thunder rolled over the land."),
        s.any(f'"I am afraid," said {f.name}.', f"{f.name} was shaking, because {f.he} was afraid of thunder."),
        s.any(f'"Look, there is {shelter}!" called {h.name}. "Quick, follow me!"',
              f"{h.name} took {f.name} by the hand and ran to {shelter}."
              if h.kind in ("girl", "boy") else f"{h.name} saw {shelter} and called {f.name} to come."),
        s.any(f"They sat {preposition} the {noun}, close together, and listened to the rain.",
              f"It was dry and warm {preposition} the {noun}."),
        s.any(f"To pass the time, they ate {food.replace('a ', 'the ', 1) if food.startswith('a ') else 'the ' + food[3:]}"
              " and told each other stories.",
              f"{h.name} sang a song until {f.name} was not afraid anymore."),
        s.any("After an hour the rain stopped, and a rainbow stood in the sky.",
              "Then, as quickly as it had come, the storm was over."),
        s.any(f"They left the {noun} and walked home through the puddles.",
              f'"That was an adventure," said {f.name}, and they walked back to {s.town}.'),
        s.lesson("brave"),
    ]


def garden(s):
    h, f, e = s.hero, s.friend, s.elder
    plant, seed = s.any(*PLANTS)
    article = "an" if plant[0] in "aeiou" else "a"
    spot = s.any("next to the wall", "in the middle of the garden", "in a clay pot by the window", "beside the gate")
    return [
        s.any(f"{s.day}, {e.name} gave {h.name} a tiny {seed}.", f"{s.day}, {h.name} found a tiny {seed} in {h.his} pocket."),
        s.any(f'"What will it be?" asked {h.name}. "Wait and see," said {e.name}.',
              f"{h.He} did not know what kind of plant it would be."),
        s.any(f"{h.name} planted the {seed} {spot} and gave it some water.",
              f"{h.He} made a little hole {spot}, put the {seed} in it and covered it with earth."),
        s.any(f"Every morning {h.he} ran out to look, but there was nothing to see.",
              "The first week nothing happened at all."),
        s.any(f'"It is not working," {h.name} told {f.name}. "Give it time," said {f.name}.',
              f'{f.name} laughed. "You cannot hurry a {seed}," {f.he} said.'),
        s.any(f"So {h.name} watered it every day, even when {h.he} was tired.",
              f"So {h.name} waited, and watered, and waited again."),
        s.any(f"Then, one morning, a small green leaf came out of the earth {spot}.",
              f"At last something green looked out of the earth {spot}."),
        s.any(f"It grew and grew, and by summer it was {article} {plant}!",
              f"By the end of the summer everyone could see it: it was {article} beautiful {plant}."
              if article == "a" else f"By the end of the summer everyone could see it: it was an {plant}."),
        s.any(f"{h.name} was proud and invited {f.name} to see it.",
              f"{h.name} showed the {plant} to {f.name} and to {e.name}, and both of them clapped."),
        s.lesson("patience"),
    ]


def noise(s):
    h, e = s.hero, s.elder
    young, grown, sound = s.any(*YOUNG)
    where = s.any("in the attic", "behind the door", "under the stairs", "outside the window", "in the cellar",
                  "in the shed")
    light = s.any("a candle", "a small lantern", "a lamp")
    noun = light.split()[-1]
    return [
        s.any(f"One night {h.name} could not sleep, because there was a strange noise {where}.",
              f"One night, when everything was dark, {h.name} heard something {where}."),
        s.any("Scratch, scratch, scratch, it went.", "Tap, tap, tap, it went.", f"It sounded like a quiet {sound}."),
        s.any(f'"Is it a monster?" thought {h.name}, and {h.he} pulled the blanket over {h.his} head.',
              f"{h.His} heart was beating fast."),
        s.any(f"But the noise did not stop, so {h.name} took {light} and got up.",
              f"At last {h.he} lit {light} and went to look, step by step."),
        s.any(f"{h.name} held up the {noun} and looked carefully {where}.",
              f"The light of the {noun} shook a little, because {h.his} hand was shaking."
              if h.kind in ("girl", "boy") else f"The light of the {noun} shook a little."),
        s.any(f"There was no monster. There was only a little {young}, cold and wet.",
              f"And what did {h.he} see? A tiny {young}, looking at {h.him} with big eyes."),
        s.any(f'"You poor thing," said {h.name}. "You are more afraid than I am."',
              f"{h.name} laughed with relief and sat down beside the {young}."),
        s.any(f"{h.He} dried the {young} with a towel and gave it some milk.",
              f"{h.He} wrapped the {young} in a warm blanket."),
        s.any(f"In the morning {e.name} helped {h.him} bring the {young} back to its mother, the {grown} from next door.",
              f"In the morning {h.name} and {e.name} found the mother, a big {grown}, waiting at the gate for her {young}."),
        s.lesson("brave"),
    ]


def lost_young(s):
    h, f = s.hero, s.friend
    young, grown, sound = s.any(*YOUNG)
    wrong, right = s.two(["the baker", "the old farmer", "the teacher", "the miller", "the shepherd", "the fisherman"])
    return [
        s.any(f"{s.day}, {h.name} was walking near {s.outside} when {h.he} heard a soft {sound}.",
              f"{s.day}, on the way to {s.outside}, {h.name} heard a {sound}."),
        s.any(f"It was a little {young}, all alone.", f"Behind a bush sat a lost {young}."),
        s.any(f'"Where is your home?" asked {h.name}, but the {young} only gave another {sound}.',
              f"{h.name} picked up the {young} and held it gently."),
        s.any(f"{h.He} called {f.name}, and together they set out to find the owner.",
              f"Just then {f.name} came by. \"Let us ask everyone in {s.town}!\" {f.he} said."
              if s.town in ("the village", "the town", "the street", "the valley", "the island") else
              f"Just then {f.name} came by. \"Let us ask everyone nearby!\" {f.he} said."),
        s.any(f"First they asked {wrong}. \"It is not mine,\" said {wrong}.",
              f"They knocked at the door of {wrong}, but {wrong} had never seen the {young} before."),
        s.any(f"Then they went to {right}, who was looking everywhere and calling.",
              f"Next they went to {right}. \"My {young}!\" cried {right}. \"I have looked for it all day!\""),
        s.any(f"The {young} jumped down and ran straight to its mother, a big {grown}.",
              f"Beside the house stood a {grown}, and the {young} ran to her at once."),
        s.any(f"{right.capitalize()} thanked {h.name} and {f.name} and gave them {s.any(*FOODS)}.",
              f'"How can I thank you?" asked {right}. "May we visit the {young} sometimes?" asked {h.name}.'),
        s.any(f"After that, {h.name} and {f.name} visited the {young} every week.",
              f"On the way home {h.name} and {f.name} talked about the {young} all the time."),
        s.lesson("help"),
    ]


def sharing(s):
    h, f = s.hero, s.friend
    food = s.any(*FOODS)
    noun = food.split(" ", 1)[1]
    head = noun.split(" of ")[0]
    return [
        s.any(f"{s.day}, {h.name} had {food}, and it smelled wonderful.",
              f"{s.day}, {s.elder.name} gave {h.name} {food}."),
        s.any(f'"I will eat all of it myself," thought {h.name}, and went to {s.outside}.',
              f"{h.name} took it to {s.outside} so that nobody would ask for some."),
        s.any(f"There {h.he} met {f.name}, who had not eaten since morning.",
              f"But {f.name} was there already, sitting on a stone and looking hungry."),
        s.any(f'"That looks good," said {f.name} quietly.', f"{f.name} looked at the {head} but did not ask."),
        s.any(f"{h.name} turned away and took a bite. Somehow it did not taste good.",
              f"{h.name} looked at the {head}, then at {f.name}, and {h.he} felt ashamed."),
        s.any(f'"Here," said {h.name}, "half of it is for you."', f"So {h.he} gave half of the {noun} to {f.name}."),
        s.any(f"{f.name} smiled. They sat side by side and ate until nothing was left.",
              f'"Really?" said {f.name}. "Thank you, {h.name}!" And they ate together in the sun.'),
        s.any(f"The next day {f.name} came with a surprise: a {s.colour} {s.toy} for {h.name}."
              if s.colour != "orange" else f"The next day {f.name} came with a surprise: an orange {s.toy} for {h.name}.",
              f"The next week, when {h.name} was hungry, it was {f.name} who shared with {h.him}."),
        s.lesson("share"),
    ]


def race(s):
    h, f = s.hero, s.friend
    goal = s.any("the old oak", "the bridge", "the windmill", "the church tower", "the big stone")
    prize = s.any("a medal", "a basket of apples", "a golden cup", "a new hat")
    return [
        s.any(f"Every year there was a race from {s.outside} to {goal}, and the prize was {prize}.",
              f"{s.day}, there was a race to {goal}. The winner would get {prize}."),
        s.any(f"{h.name} and {f.name} had both practised for weeks.", f"Both {h.name} and {f.name} wanted to win."),
        s.any('"Ready, steady, go!" somebody shouted, and everyone ran.', "A bell rang, and the race began."),
        s.any(f"{h.name} was the fastest, and soon {h.he} was far ahead.", f"Soon {h.name} was in front and {f.name} was close behind."),
        s.any(f"Then {h.he} heard a cry. {f.name} had fallen and hurt {f.his} knee."
              if f.kind in ("girl", "boy") else f"Then {h.he} heard a cry. {f.name} had fallen and hurt {f.his} foot.",
              f"Suddenly {f.name} slipped in the mud and could not get up."),
        s.any(f"{h.name} looked at {goal}. It was so near! But {h.he} turned around and ran back.",
              f'"I can still win," thought {h.name}. But then {h.he} stopped and went back to {f.name}.'),
        s.any(f'"Lean on me," {h.he} said, and they walked on together, slowly.',
              f"{h.name} helped {f.name} up, and step by step they went on."),
        s.any(f"They were the last to reach {goal}, but everybody cheered.",
              f"When they came to {goal}, the race was long over, yet all the people were clapping."),
        s.any(f"The winner of the race came to them and shared {prize.replace('a ', 'the ', 1)} with them."
              if "apples" in prize else f"The winner looked at them and gave {prize.replace('a ', 'the ', 1)} to {h.name}. \"You earned it,\" the winner said."),
        s.lesson("help"),
    ]


def birthday(s):
    h, f, e = s.hero, s.friend, s.elder
    missing, lender = s.any(("eggs", "the farmer"), ("milk", "the neighbour"), ("sugar", "the baker"), ("flour", "the miller"),
                            ("butter", "the old woman next door"))
    cake = s.any("chocolate cake", "honey cake", "carrot cake", "cherry cake")
    work = s.any("sweep the yard", "carry some wood", "feed the hens", "wash the windows")
    return [
        s.any(f"It was the birthday of {e.name}, and {h.name} wanted to bake a {cake}.",
              f"{s.day}, {h.name} decided to bake a {cake} for {e.name}, whose birthday it was."),
        s.any(f"{f.name} came to help.", f"{h.He} asked {f.name} to help, and {f.name} was glad to come."),
        s.any(f"They took out a big bowl, but there was no {missing} in the kitchen."
              if missing != "eggs" else "They took out a big bowl, but there were no eggs in the kitchen.",
              f'"Oh no," said {h.name}. "We have no {missing}!"'),
        s.any(f'"Let us ask {lender}," said {f.name}.', f"{f.name} thought of {lender}, who lived close by."),
        s.any(f'"I will give you some {missing}," said {lender}, "if you {work} for me."',
              f"{lender.capitalize()} had enough {missing} and only asked them to {work}."),
        s.any("So they did, and it did not take long.", "They worked hard, and when they had finished they got what they needed."),
        s.any(f"They ran home with the {missing} and baked the {cake}.",
              f"Back in the kitchen they mixed and stirred, and soon the {cake} was in the oven."),
        s.any(f"In the evening {e.name} came home and smelled the {cake}.",
              f"When {e.name} opened the door, there was the {cake} on the table, with candles."),
        s.any(f'"For me?" asked {e.name}, and {e.he} laughed and hugged them both.',
              f'"This is the best {cake} in the world," said {e.name}.'),
        s.any(f"They kept a big piece for {lender}, too.", f"And of course {lender} got a piece as well."),
    ]


def toy_boat(s):
    h, f = s.hero, s.friend
    colour = s.colour
    article = "an" if colour == "orange" else "a"
    water = s.any("the stream", "the pond", "the canal")
    stuck = s.any("between two stones", "under a low branch", "in the reeds")
    tool = s.any("a long stick", "an old net", "a rope with a hook")
    noun = tool.split(" ", 1)[1].split(" with ")[0]
    return [
        s.any(f"{h.name} had built {article} {colour} boat out of wood.", f"{h.name} owned {article} {colour} wooden boat."),
        s.any(f"{s.day}, {h.he} took it to {water} to let it sail.", f"{s.day}, {h.name} and {f.name} let the boat sail on {water}."),
        s.any("The wind was strong, and the boat sailed away fast.", f"A gust of wind came and took the {colour} boat far away."),
        s.any(f'"Come back!" shouted {h.name}, and {h.he} ran along {water}.', f"{h.name} ran after it as fast as {h.he} could."),
        s.any(f"At last the boat got stuck {stuck}, where nobody could reach it.", f"Then the {colour} boat stopped. It was stuck {stuck}."),
        s.any(f'"The water is too deep," said {f.name}. "We need {tool}."', f"{h.name} wanted to jump in, but {f.name} said, \"Wait! Let us find {tool}.\""),
        s.any(f"They looked around and soon {f.name} came back with {tool}.", f"{f.name} ran home and fetched {tool}."),
        s.any(f"With the {noun}, {h.name} pulled, and slowly the boat came free.",
              f"{f.name} held {h.name} tight while {h.he} reached out with the {noun}. The boat moved, and then it was free."),
        s.any(f"The {colour} boat was wet and scratched, but it still could sail.", f"{h.name} lifted the {colour} boat out of the water and laughed."),
        s.any(f'"Next time," said {h.name}, "I will tie a string to it."', f"From then on, {h.name} always tied a string to the boat."),
    ]


def skill(s):
    h, f, e = s.hero, s.friend, s.elder
    verb, gerund = s.any(*SKILLS)
    teacher = s.any(f, e)
    name = teacher.name
    return [
        s.any(f"{h.name} wanted to learn how to {verb}.", f"More than anything, {h.name} wished that {h.he} could {verb}."),
        s.any(f"{s.day}, {h.he} tried for the first time, and it went badly.", f"{s.day}, {h.he} tried it, but it did not work at all."),
        s.any(f"{h.He} tried a second time, and it was no better.", "The second try was even worse."),
        s.any(f'"I will never learn it," said {h.name}, and sat down in the grass.', f"{h.name} was angry and wanted to give up."),
        s.any(f"{name[0].upper() + name[1:]} sat down next to {h.him}. \"I fell many times before I could {verb},\" {teacher.he} said."
              if verb in ("ride a bicycle", "skate", "climb the old oak") else
              f"{name[0].upper() + name[1:]} sat down next to {h.him}. \"I needed many days before I could {verb},\" {teacher.he} said.",
              f'"Nobody can {verb} on the first day," said {name}. "Try again, but slowly."'),
        s.any(f"So {h.name} got up and tried again, slowly this time.", f"{h.name} took a deep breath and began once more."),
        s.any("Every day it went a little better.", f"Day after day {h.he} practised, and day after day it went better."),
        s.any(f"And then, one morning, {h.name} could {verb}!", f"After two weeks, {h.he} could {verb} as if it were nothing."),
        s.any(f'"Look, {f.name}!" {h.he} called. "I am {gerund}!"', f"{f.name} watched {h.him} and clapped."),
        s.lesson("patience"),
    ]


def delivery(s):
    h, e = s.hero, s.elder
    load = s.any("a letter", "a small parcel", "a basket of eggs", "a jar of honey", "a book")
    noun = load.split(" ", 1)[1].replace("small ", "")
    to = s.any("the lighthouse keeper", "the doctor", "the old teacher", "the queen", "the clockmaker", "the captain")
    obstacle, solved = s.any(
        ("the bridge was broken", "found a row of stones and crossed the water on them"),
        ("a big tree lay across the road", "climbed over it, branch by branch"),
        ("thick fog came down", "followed the fence until the road was clear again"),
        ("a goose stood in the way and hissed", "waited politely until the goose walked away"),
        ("the road was covered with snow", "walked in the tracks of a sledge"),
    )
    return [
        s.any(f'{s.day}, {e.name} said, "{h.name}, can you bring {load} to {to}?"', f"{s.day}, {e.name} asked {h.name} to bring {load} to {to}."),
        s.any(f'"I promise," said {h.name}.', f"{h.name} was proud, because it was an important task."),
        s.any(f"{h.He} put the {noun} into {h.his} bag and set out.", f"{h.He} took the {noun} and left {s.town} at once."),
        s.any(f"After an hour, {obstacle}.", f"The way was long, and suddenly {obstacle}."),
        s.any(f'"What now?" thought {h.name}. "I promised."', f"{h.name} almost went home. But a promise is a promise."),
        s.any(f"So {h.he} {solved}.", f"{h.name} thought for a moment, and then {h.he} {solved}."),
        s.any(f"In the evening {h.he} came to the house of {to}.", f"Tired and hungry, {h.he} reached the door of {to}."),
        s.any(f'"I bring you {load}," said {h.name}, and gave the {noun} to {to}.', f"{h.name} held out the {noun}. It had not been harmed at all."),
        s.any(f'"You came all this way?" said {to}. "Then you must be hungry." And there was {s.any(*FOODS)} on the table.',
              f"{to[0].upper() + to[1:]} was so glad about the {noun} that {h.name} forgot how tired {h.he} was."),
        s.any(f"When {h.name} came home the next day, {e.name} was waiting at the gate.", f"From that day on, everyone trusted {h.name}."),
    ]


def snow(s):
    h, f = s.hero, s.friend
    made = s.any("a snowman", "a snow castle", "a snow bear")
    noun = made.split(" ", 1)[1]
    eyes = s.any("two black stones", "two shiny buttons", "two nuts")
    wear = s.any("scarf", "hat", "coat")
    article = "an" if s.colour == "orange" else "a"
    return [
        s.any(f"One winter morning, all of {s.town} was white.", "When winter came, it snowed for three days."),
        s.any(f"{h.name} and {f.name} ran outside to build {made}.", f'"Let us build {made}!" said {h.name} to {f.name}.'),
        s.any("They rolled and pushed until their hands were cold.", "They worked the whole morning and laughed a lot."),
        s.any(f"{f.name} found {eyes}, and {h.name} brought {article} {s.colour} {wear}." if noun != "snow castle" else
              f"{f.name} made a tower, and {h.name} put {article} {s.colour} flag on top."),
        s.any(f"In the evening the {noun} stood in front of the house, and it was perfect.", f"The {noun} was taller than {h.name}!"),
        s.any(f"But the next day the sun came out, and the {noun} began to melt.", f"After a week it grew warm, and the {noun} became smaller and smaller."),
        s.any(f'"Our {noun} is going away," said {h.name} sadly.', f"{h.name} was sad and did not want to look."),
        s.any(f'"It is only turning into water," said {f.name}. "The flowers will drink it."', f'{f.name} said, "Next winter it will come back."'),
        s.any(f"In spring, flowers grew in the place where the {noun} had stood.",
              f"And when spring came, a flower grew right where the {noun} had been."),
        s.any(f"{h.name} picked one and gave it to {f.name}." , f"{h.name} put the {s.colour} {wear if noun != 'snow castle' else 'flag'} away, ready for the next winter."),
    ]


def treasure(s):
    h, f = s.hero, s.friend
    first, last = s.two(["under the wooden bridge", "beneath the apple tree", "next to the well", "between two rocks", "behind the mill",
                         "at the foot of the tower"])
    found = s.any("a box full of old letters", "a bag of marbles", "a tin with photographs", "a jar of shiny buttons", "a little book of stories")
    noun = found.replace("little ", "").split(" ")[1]
    e = s.elder
    return [
        s.any(f"{s.day}, {h.name} found an old map in a drawer.", f"{s.day}, an old map fell out of a book that {h.name} was reading."),
        s.any(f'"A treasure!" said {h.name}, and ran to tell {f.name}.', f"{h.He} showed it to {f.name}, whose eyes grew big."),
        s.any(f"There was a red cross on the map, and it seemed to be {first}.", f"The map showed a place {first}."),
        s.any(f"They dug {first} until they were tired, but there was nothing.", f"So they dug {first}. They found only a worm."),
        s.any(f'"We are holding the map upside down!" cried {f.name}.', f"Then {f.name} turned the map around. \"Look,\" {f.he} said, \"it was the wrong way up!\""),
        s.any(f"So they went on to the right place, {last}.", f"Now the cross was {last}, and they hurried there."),
        s.any("They dug again, and soon the spade hit something hard.", "After a short time there was a clink."),
        s.any(f"It was {found}.", f"They pulled it out, and it was {found}."),
        s.any(f'{e.name[0].upper() + e.name[1:]} laughed when {e.he} saw it. "I hid that {noun} when I was a child," {e.he} said.',
              f'"That is mine!" said {e.name}. "I made that map when I was little."'),
        s.any(f"They sat together all evening, and {e.name} told them about the old days.", f"{h.name} and {f.name} drew a new map and hid the {noun} again for somebody else."),
    ]


def truth(s):
    h, f, e = s.hero, s.friend, s.elder
    thing = s.any("vase", "window", "plate", "cup", "mirror")
    article = "an" if s.colour == "orange" else "a"
    return [
        s.any(f"{s.day}, {h.name} was playing with {article} {s.colour} ball in the house.", f"{s.day}, {h.name} threw {h.his} {s.colour} ball inside, although it was not allowed."),
        s.any(f"The ball flew across the room and broke the {thing}.", f"Crash! The ball hit the {thing}, and it broke."),
        s.any(f"{h.name} was alone, and nobody had seen it.", f"Nobody was there. {h.name} picked up the pieces and hid them."),
        s.any(f"When {e.name} came home, {e.he} asked, \"Who broke the {thing}?\"", f'"What happened to the {thing}?" asked {e.name} in the evening.'),
        s.any(f'"Perhaps it was the wind," said {h.name}, and looked at the floor.', f'"I do not know," said {h.name} in a small voice.'),
        s.any(f"That night {h.he} could not sleep. The lie felt like a stone.", f"All day long {h.name} felt bad, and not even playing with {f.name} was fun."),
        s.any(f'"You should tell the truth," said {f.name} the next day.', f"The next day {h.name} told {f.name} about it. \"Go and say it,\" said {f.name}."),
        s.any(f'So {h.name} went to {e.name}. "It was me," {h.he} said. "I broke the {thing} with my ball. I am sorry."',
              f"{h.name} took a deep breath and told {e.name} everything about the ball and the {thing}."),
        s.any(f'"Thank you," said {e.name}. "A {thing} can be replaced, but trust is precious."',
              f"{e.name[0].upper() + e.name[1:]} was silent for a moment. Then {e.he} took {h.him} in {e.his} arms."),
        s.lesson("truth"),
    ]


PLOTS = [lost_object, mending, storm, garden, noise, lost_young, sharing, race, birthday, toy_boat, skill, delivery,
         snow, treasure, truth]
NEEDS_FRIEND = {lost_object, mending, storm, garden, lost_young, sharing, race, birthday, toy_boat, skill, snow,
                treasure, truth}


def story(random, hero=None, plots=None):
    """One story as text; `hero` is a Person or None, `plots` the plots in order or None for a draw."""
    s = Story(random, hero)
    plots = plots or random.sample(PLOTS, random.choices([1, 2, 3], [0.8, 0.13, 0.07])[0])
    lines = [s.opening()]
    if any(p in NEEDS_FRIEND for p in plots) or random.random() < 0.2:
        s.friend_known = True
        lines.append(s.meet_friend())
    for number, plot in enumerate(plots):
        if number:
            s.day = s.any("The next day", "A week later", "Some time later", "In the following year")
            s.colour, s.toy = random.choice(COLOURS), random.choice(TOYS)
            lines.append("\n\n")
        lines += plot(s)
        if number + 1 < len(plots):
            lines.append("")
    if random.random() < 0.15:
        lines.append("The end.")
    text = " ".join(line for line in lines if line)
    text = text.replace(" \n\n ", "\n\n")
    # In half of the stories, a break before some later sentence, where people would start a paragraph.
    if "\n\n" not in text and random.random() < 0.5:
        for mark in (" At last ", " Then ", " The next day ", " But ", " So ", " In the morning "):
            if mark in text and random.random() < 0.5:
                text = text.replace(mark, "\n\n" + mark[1:], 1)
                break
    return text


if __name__ == "__main__":
    import random
    import sys

    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(story(random.Random(seed)), "\n")
