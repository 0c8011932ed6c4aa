"""Draws one story: a scene, a skeleton, an opening and an ending, expanded into text."""

import re

from grammar import Scene, expand
from skeletons import ENDINGS, OPENINGS, SKELETONS


NEEDS_ANIMAL = ("helping", "a strange sound")


class Story:
    def __init__(self, text, scene, theme, raw):
        self.text = text
        self.scene = scene
        self.theme = theme
        self.has_friend = "{N2}" in raw
        self.has_toy = re.search(r"\{(a_|the_)?toy\}", raw) is not None
        self.has_food = "food" in raw
        self.has_place = "{pl}" in raw


def uses_weather(template):
    return "{W}" in template or "{Wend}" in template


def fix_articles(text):
    return re.sub(r"\b([Aa]) (?=[aeiou])", lambda m: m.group(1) + "n ", text)


def draw_story(rng):
    theme, rule, beats = rng.choice(SKELETONS)
    scene = Scene(rng)
    while theme in NEEDS_ANIMAL and not scene.b.animal:
        scene = Scene(rng)
    if rule:
        scene.weather = rng.choice(sorted(rule))
    openings = [o for o in OPENINGS if rule != frozenset() or not o.startswith("{W}")]
    opening = rng.choice(openings)
    if rng.random() < 0.35:
        opening = rng.choice(OPENINGS[:4])
    if rule and "{W}" not in opening:
        opening += " {W}"
    if rule == frozenset():
        opening = opening.replace("{W}", "")
    parts = [opening, *beats]
    if rng.random() < 0.45:
        endings = [e for e in ENDINGS if not uses_weather(e) or (rule is None and "{W}" in opening)]
        parts.append(rng.choice(endings))
    raw = resolve(rng, parts)
    text = expand(rng, raw, scene.slots(rng))
    return Story(fix_articles(text), scene, theme, raw)


def resolve(rng, parts):
    """Draws the choices of every part but leaves the slots, so that the used slots are known."""
    keep = {}

    class Slots(dict):
        def __missing__(self, key):
            return "{" + key + "}"

    return " ".join(expand(rng, part, Slots(keep)) for part in parts)


def draw_long_enough(rng, low=45, high=150):
    while True:
        story = draw_story(rng)
        if low <= len(story.text.split()) <= high:
            return story
