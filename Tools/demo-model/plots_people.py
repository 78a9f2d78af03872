"""Plots, first half: loss, repair, weather, growth and the like.

A plot takes the state of a story and returns its sentences, beat by beat, each beat in several wordings.
Invariant: a beat names only people and things of the state or drawn at the top of its plot.
"""

from cast import FOODS, FRAGILE, HIDING, PLANTS, YOUNG


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
