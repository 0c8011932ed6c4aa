"""Chat samples without tools: greetings, story requests, simple facts and honest refusals."""

import words
from arithmetic import draw_problem, question
from grammar import article, expand
from stories import draw_long_enough, fix_articles

SYSTEM_TEMPLATES = """You are a [helpful|friendly|kind|polite|cheerful|good|useful|small|smart|] [AI|] assistant[ that tells stories| for children| in a small program|].
You are a [helpful|friendly|kind|polite|good] [assistant|helper]. [Keep your answers short|Answer in simple words|Be brief|Be kind|Use short sentences|Answer the question of the user].
You are a [tiny|small|friendly|] [storyteller|language model|chatbot|robot|helper][ who likes children| in a toy| in a library|].
[You tell|Tell|Write] [short|nice|little|funny] stories[ for children| and answer questions|].
[Be|Stay] [kind|brief|helpful|polite|friendly|honest] [and|but] [short|clear|simple|careful].
[Keep your answers|Please keep every answer] [short|simple|polite|clear].
[Help the user|Answer the user|Help people with their questions][ as well as you can|].
You answer questions and [tell stories|use tools|help].
[Use|Speak in] [short|simple|plain] [sentences|words][ and stay friendly|].
[Today is Monday|It is morning|The user is a child|You are at work]. [Be helpful|Be nice|Answer well].""".split("\n")

WHO_ANSWER = ("I am a tiny language model that is built into this library. I can tell short stories and answer "
              "simple questions.")
UNKNOWN_ANSWER = "I don't know. I am a very small model, but I can tell you a story."
NEED_TOOL = "I need a calculator tool for that."


def system_prompt(rng):
    return fix_articles(expand(rng, rng.choice(SYSTEM_TEMPLATES), {}))


def misspell(rng, text):
    """Swaps two neighbouring letters in one word of letters."""
    tokens = text.split(" ")
    usable = [i for i, t in enumerate(tokens) if t.isalpha() and t.islower() and len(t) > 3]
    if usable:
        i = rng.choice(usable)
        j = rng.randrange(1, len(tokens[i]) - 1)
        t = tokens[i]
        tokens[i] = t[:j] + t[j + 1] + t[j] + t[j + 2:]
    return " ".join(tokens)


def noisy(rng, text, typos=True):
    """A user's way of typing: sometimes lower case, without punctuation, with a typo or a please."""
    if rng.random() < 0.06:
        text = "Please " + text[0].lower() + text[1:] if not text.startswith("I") else text
    if rng.random() < 0.08:
        text = text.lower()
    if rng.random() < 0.12:
        text = text.rstrip(".?!")
    if typos and rng.random() < 0.03:
        text = misspell(rng, text)
    return text


def story_turn(rng):
    story = draw_long_enough(rng, 45, 135)
    scene = story.scene
    a = article(scene.a.kind)
    subjects = [a, f"{a} named {scene.a.name}", f"{a} called {scene.a.name}", f"{scene.a.name} the {scene.a.kind}",
                scene.a.name, story.theme, f"{article(scene.a.trait + ' ' + scene.a.kind)}",
                f"{a} and {story.theme}"]
    weights = [4, 3, 1, 1, 1, 1, 1, 1]
    if story.has_toy:
        toy = article(f"{scene.adj} {scene.toy}")
        plain = article(scene.toy)
        subjects += [f"{a} and {toy}", f"{a} with {toy}", f"{a} and {plain}", f"{a} named {scene.a.name} and {toy}",
                     toy]
        weights += [8, 2, 3, 3, 2]
    if story.has_friend:
        b = article(scene.b.kind)
        subjects += [f"{a} and {b}", f"{scene.a.name} and {scene.b.name}", f"{a} who meets {b}"]
        weights += [6, 2, 1]
        if story.has_toy:
            subjects.append(f"{a}, {b} and {toy}")
            weights.append(3)
    if story.has_place:
        where = words.AT_PLACE[scene.place]
        subjects += [f"{a} {where}", f"{a} who lives {where}"]
        weights += [3, 1]
    if story.has_food:
        subjects.append(f"{a} and {article(scene.food)}")
        weights.append(2)
    subject = rng.choices(subjects, weights)[0]
    ask = rng.choice([
        "Tell me a story about {}.", "Tell me a story about {}.", "Tell me a short story about {}.",
        "Write a story about {}.", "Write a short story about {}.", "Can you tell me a story about {}?",
        "I want a story about {}.", "Please tell me a story about {}.", "Could you write a story about {}?",
        "A story about {}, please.", "Tell a story about {}.", "I would like to hear a story about {}.",
        "Do you know a story about {}?", "Make up a story about {}.", "Give me a story about {}.",
    ]).format(subject)
    if rng.random() < 0.08:
        ask = rng.choice(["Tell me a story.", "Tell me a story!", "Can you tell me a story?", "A story, please.",
                          "Write a short story.", "I want to hear a story.", "Tell me something nice.",
                          "Please tell me a bedtime story."])
    return noisy(rng, ask), story.text


def greeting_turn(rng):
    pairs = [
        (["Hello!", "Hello", "Hello there!", "hello", "Good morning!", "Good evening!", "Hey!", "Hey there", "Hi!",
          "Hi", "hi", "Hi there!", "hey"],
         ["Hello! Shall I tell you a story?", "Hello! How can I help you?"]),
        (["How are you?", "How are you today?", "Hello, how are you?", "Hi, how are you doing?", "How do you do?"],
         ["I am fine, thank you! Shall I tell you a story?"]),
        (["Who are you?", "Hello, who are you?", "What are you?", "Hi! Who are you?", "Tell me about yourself.",
          "Are you a robot?", "Are you a human?", "Are you an AI?", "Introduce yourself.", "What is this?",
          "Which model are you?", "Who am I talking to?"], [WHO_ANSWER]),
        (["What is your name?", "What's your name?", "Do you have a name?", "How should I call you?"],
         ["I have no name. I am a tiny language model that is built into this library."]),
        (["What can you do?", "How can you help me?", "What do you know?", "Can you help me?", "Help", "Help me."],
         ["I can tell short stories, answer simple questions and use a calculator tool."]),
        (["Are you smart?", "Are you clever?", "Do you know everything?", "How big are you?", "How large are you?"],
         ["I am very small, so I know only a few things. But I like to tell stories."]),
    ]
    asks, answers = rng.choice(pairs)
    return rng.choice(asks), rng.choice(answers) if rng.random() < 0.3 else answers[0]


def closing_turn(rng):
    if rng.random() < 0.6:
        ask = rng.choice(["Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot", "thanks", "Great, thanks!",
                          "That was nice, thank you.", "Nice story!", "I liked that.", "Well done!", "Great!"])
        return ask, "You are welcome!"
    ask = rng.choice(["Goodbye!", "Bye!", "bye", "Good night!", "See you later.", "Bye bye", "I have to go now.",
                      "See you tomorrow!"])
    return ask, "Goodbye! Come back soon."


def fact_turn(rng):
    kind = rng.randrange(13)
    if kind == 0:
        animal, sound = rng.choice(list(words.SOUNDS.items()))
        ask = rng.choice(["What does {a} say?", "What sound does {a} make?", "How does {a} sound?",
                          "What noise does {a} make?", "What does the {n} say?"])
        return ask.format(a=article(animal), n=animal), f"{article(animal).capitalize()} says {sound}."
    if kind == 1:
        pair = list(rng.choice(words.OPPOSITES))
        rng.shuffle(pair)
        ask = rng.choice(["What is the opposite of {}?", "What's the opposite of {}?", "Opposite of {}?",
                          "Tell me the opposite of {}."])
        return ask.format(pair[0]), f"The opposite of {pair[0]} is {pair[1]}."
    if kind == 2:
        thing, color = rng.choice(list(words.THING_COLORS.items()))
        ask = rng.choice(["What color is {}?", "Which color does {} have?", "What is the color of {}?",
                          "What colour is {}?"])
        return ask.format(thing), f"{thing.capitalize()} is {color}."
    if kind == 3:
        animal, baby = rng.choice(list(words.BABIES.items()))
        ask = rng.choice(["What is a baby {} called?", "What do you call a baby {}?", "What's the name of a baby {}?"])
        return ask.format(animal), f"A baby {animal} is called {article(baby)}."
    if kind == 4:
        thing, legs = rng.choice(list(words.LEGS.items()))
        ask = rng.choice(["How many legs does {} have?", "How many legs has {}?", "Count the legs of {}."])
        return ask.format(thing), f"{thing.capitalize()} has {legs} legs."
    if kind == 5:
        animal, home = rng.choice(list(words.HOMES.items()))
        ask = rng.choice(["Where does {} live?", "Where is the home of {}?", "Where does {} sleep?"])
        return ask.format(animal), f"{animal.capitalize()} lives {home}."
    if kind == 6:
        animal, food = rng.choice(list(words.EATS.items()))
        ask = rng.choice(["What does {} eat?", "What does {} like to eat?", "What is the food of {}?"])
        return ask.format(animal), f"{animal.capitalize()} eats {food}."
    if kind == 7:
        names, unit = (words.DAYS, "day") if rng.random() < 0.6 else (words.MONTHS, "month")
        i = rng.randrange(len(names))
        if rng.random() < 0.6:
            ask = rng.choice(["What {u} comes after {d}?", "Which {u} comes after {d}?", "What is the {u} after {d}?"])
            return ask.format(u=unit, d=names[i]), f"{names[(i + 1) % len(names)]} comes after {names[i]}."
        ask = rng.choice(["What {u} comes before {d}?", "Which {u} comes before {d}?", "What is the {u} before {d}?"])
        return ask.format(u=unit, d=names[i]), f"{names[i - 1]} comes before {names[i]}."
    if kind == 8:
        n = rng.randrange(3, 11)
        shown = rng.choice([str(n), words.NUMBERS[n - 1]])
        ask = rng.choice(["Count to {}.", "Can you count to {}?", "Please count to {}."])
        return ask.format(shown), ", ".join(words.NUMBERS[:n]).capitalize() + "."
    if kind == 9:
        n = rng.randrange(1, 10)
        if rng.random() < 0.5:
            return rng.choice(["What number comes after {}?", "Which number comes after {}?"]).format(
                words.NUMBERS[n - 1]), f"{words.NUMBERS[n].capitalize()} comes after {words.NUMBERS[n - 1]}."
        return rng.choice(["What number comes before {}?", "Which number comes before {}?"]).format(
            words.NUMBERS[n]), f"{words.NUMBERS[n - 1].capitalize()} comes before {words.NUMBERS[n]}."
    if kind == 10:
        pairs = [("Is fire hot or cold?", "Fire is hot."), ("Is ice hot or cold?", "Ice is cold."),
                 ("Is snow warm?", "No, snow is cold."), ("Can birds fly?", "Yes, most birds can fly."),
                 ("Can fish swim?", "Yes, fish can swim."), ("Can a dog fly?", "No, a dog cannot fly."),
                 ("Is an elephant big or small?", "An elephant is big."), ("Is a mouse big or small?", "A mouse is small."),
                 ("How many days are in a week?", "There are seven days in a week."),
                 ("How many months are in a year?", "There are twelve months in a year."),
                 ("When does the sun rise?", "The sun rises in the morning."),
                 ("What do we see in the sky at night?", "At night, we see the moon and the stars."),
                 ("What falls from clouds?", "Rain falls from clouds."), ("What do bees make?", "Bees make honey."),
                 ("What gives milk?", "A cow gives milk."), ("Can a cat fly?", "No, a cat cannot fly.")]
        return rng.choice(pairs)
    if kind == 11:
        return echo_turn(rng)
    return unknown_turn(rng)


def echo_turn(rng):
    """Copying on request, which also trains the copying that tool calls need."""
    pick = rng.randrange(3)
    if pick == 0:
        what = str(rng.randrange(10 ** rng.randrange(1, 7)))
    elif pick == 1:
        what = f"{rng.choice(words.COLORS)} {rng.choice(words.TOYS)}"
    else:
        what = rng.choice(words.GIRLS + words.BOYS + words.ANIMAL_NAMES)
    ask = rng.choice(["Say {}.", "Repeat: {}", "Please repeat {}.", "Say this: {}", "Repeat after me: {}"])
    return ask.format(what), f"{what}."


def unknown_turn(rng):
    country, city = rng.choice(words.COUNTRIES), rng.choice(words.CITIES)
    ask = rng.choice([
        f"What is the capital of {country}?", f"Who is the president of {country}?", f"How many people live in {city}?",
        f"Is {city} in {country}?", f"What is the weather in {city}?", "Who won the game yesterday?",
        "What time is it?", "What is the price of gold?", "Can you write code?", "Write a program for me.",
        f"Translate this into the language of {country}.", "What is quantum physics?", "Who wrote this book?",
        f"How far is it from {city} to {rng.choice(words.CITIES)}?", "What should I invest in?",
        f"When was {rng.choice(words.GIRLS + words.BOYS)} born?", "What is the meaning of life?",
        "Explain how computers work.", "What is the news today?", f"How do I get to {city}?",
        f"Tell me the history of {country}.", "What is the newest phone?", "How does a jet engine work?"])
    return ask, UNKNOWN_ANSWER


def need_tool_turn(rng):
    return question(rng, draw_problem(rng)), NEED_TOOL


def conversation(rng):
    """Messages of one chat without tools."""
    messages = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": system_prompt(rng)})
    roll = rng.random()
    if roll < 0.55:
        turns = [story_turn(rng)]
        if rng.random() < 0.12:
            turns.append(closing_turn(rng))
        if rng.random() < 0.1:
            turns.insert(0, greeting_turn(rng))
        if rng.random() < 0.06:
            turns.append(story_turn(rng))
    else:
        makers = rng.choices([fact_turn, greeting_turn, need_tool_turn, closing_turn], [10, 3, 2, 1],
                             k=rng.choice([1, 1, 1, 2, 3, 4]))
        turns = [make(rng) for make in makers]
        turns = [(noisy(rng, ask, typos=not any(c.isdigit() for c in ask)) if not ask.startswith(("Say", "Repeat"))
                  else ask, answer) for ask, answer in turns]
    for ask, answer in turns:
        messages.append({"role": "user", "content": ask})
        messages.append({"role": "assistant", "content": answer})
    return messages
