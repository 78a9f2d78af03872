"""Short stories from a seeded generator that keeps a plot state: a cast (cast.py) goes through plots.

Invariant: whatever a story mentions was drawn before; a second plot of the same story keeps its people and
home, and draws new things.
"""

from cast import COLOURS, TOYS, Story
from plots_events import birthday, delivery, skill, snow, toy_boat, treasure, truth
from plots_people import garden, lost_object, lost_young, mending, noise, race, sharing, storm

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
