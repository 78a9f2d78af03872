"""Plots, second half: feasts, boats, errands, snow and the like. See plots_people.py for the rules."""

from cast import FOODS, SKILLS


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
