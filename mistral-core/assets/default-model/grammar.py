"""Template expansion for the story generator.

A template is text with `[one|two|three]` choices (they may nest, and an empty choice is allowed) and
`{slot}` fields. A `Scene` holds one consistent set of slot values: characters with their pronouns,
objects, a place and the weather.
"""

import re

import words

CHOICE = re.compile(r"\[([^\[\]]*)\]")
PRONOUNS = {"f": ("she", "her", "her"), "m": ("he", "him", "his")}


def article(noun_phrase):
    return ("an " if noun_phrase[0] in "aeiou" else "a ") + noun_phrase


def expand(rng, template, slots):
    """Resolves every choice, innermost first, then fills the slots."""
    while True:
        template, count = CHOICE.subn(lambda m: rng.choice(m.group(1).split("|")), template)
        if not count:
            break
    text = template.format_map(slots)
    return re.sub(r" +", " ", text).strip()


def made_up_name(rng):
    return ("".join(rng.choices(words.SYLLABLES, k=rng.choice([1, 2, 2, 3]))) + rng.choice(words.CODAS)).capitalize()


class Character:
    def __init__(self, rng, taken=()):
        roll = rng.random()
        self.animal = roll < 0.58
        self.gender = rng.choice("fm")
        if self.animal:
            self.kind = rng.choice(words.ANIMALS)
        elif roll < 0.72:
            self.kind = rng.choice(list(words.PEOPLE))
            self.gender = words.PEOPLE[self.kind] or self.gender
        else:
            self.kind = "girl" if self.gender == "f" else "boy"
        names = words.GIRLS if self.gender == "f" else words.BOYS
        if self.animal and rng.random() < 0.75:
            names = words.ANIMAL_NAMES
        self.name = rng.choice([n for n in names if n not in taken])
        if rng.random() < 0.08:
            self.name = made_up_name(rng)
        self.trait = rng.choice(words.TRAITS)

    def intro(self):
        return f"{article(self.trait + ' ' + self.kind)} named {self.name}"

    def slots(self, suffix):
        he, him, his = PRONOUNS[self.gender]
        plain = {"N": self.name, "sp": self.kind, "tr": self.trait, "he": he, "him": him, "his": his,
                 "He": he.capitalize(), "His": his.capitalize(), "intro": self.intro(),
                 "a_sp": article(self.kind)}
        return {key + suffix: value for key, value in plain.items()}


class Scene:
    """One drawn set of story elements."""

    def __init__(self, rng):
        self.a = Character(rng)
        self.b = Character(rng, taken=(self.a.name,))
        while self.b.kind == self.a.kind and self.a.animal:
            self.b = Character(rng, taken=(self.a.name,))
        self.toy, self.toy2 = rng.sample(words.TOYS, 2)
        self.adj = rng.choice(words.COLORS) if rng.random() < 0.75 else rng.choice(words.OBJ_ADJS)
        self.adj2 = rng.choice([c for c in words.COLORS if c != self.adj])
        self.place = rng.choice(words.PLACES)
        self.food = rng.choice(words.FOODS)
        self.hide1, self.hide2 = rng.sample(words.HIDING, 2)
        self.weather = rng.choice(list(words.WEATHER))
        self.relative = rng.choice(["mother", "father", "grandmother", "grandfather", "aunt", "uncle"])
        female = self.relative in ("mother", "grandmother", "aunt")
        self.relative_pronouns = PRONOUNS["f" if female else "m"]
        self.number = rng.choice(["two", "three", "four", "five", "six"])

    def slots(self, rng):
        slots = {**self.a.slots(""), **self.b.slots("2")}
        he3, him3, his3 = self.relative_pronouns
        slots.update(
            toy=self.toy, adj=self.adj, a_toy=article(f"{self.adj} {self.toy}"), the_toy=f"the {self.adj} {self.toy}",
            toy2=self.toy2, a_toy2=article(f"{self.adj2} {self.toy2}"), the_toy2=f"the {self.adj2} {self.toy2}",
            place=self.place, pl=words.AT_PLACE[self.place], food=self.food, a_food=article(self.food),
            foods=plural(self.food), hide1=self.hide1[0], spot1=self.hide1[1], hide2=self.hide2[0],
            spot2=self.hide2[1], W=rng.choice(words.WEATHER[self.weather]), weather=self.weather,
            Wend=rng.choice(words.WEATHER_END[self.weather]), rel=self.relative, he3=he3, him3=him3, his3=his3,
            He3=he3.capitalize(), n=self.number, color=self.adj2,
        )
        return slots


def plural(noun):
    if noun.endswith(("ch", "sh", "x", "s")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
