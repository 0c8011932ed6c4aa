"""Tool-use samples: arithmetic questions answered by a call of a calculator tool, in Hermes style."""

import copy

import words
from arithmetic import draw_problem, evaluate, expression, question
from chat import (NEED_TOOL, UNKNOWN_ANSWER, closing_turn, fact_turn, greeting_turn, noisy, story_turn,
                  system_prompt)

DESCRIPTIONS = ["Evaluates an arithmetic expression", "Calculates the value of an expression",
                "Does arithmetic with numbers", "A simple calculator", "Computes a math expression",
                "Works out sums and products", "Evaluate a mathematical expression", "Calculator for + - * /",
                "Evaluate an arithmetic expression and return the result", "Perform basic calculations",
                "Adds, subtracts, multiplies and divides numbers", "Use this for any arithmetic",
                "Computes the result of an arithmetic expression", "Returns the value of the given expression"]
ARGUMENT_DESCRIPTIONS = ["The expression to evaluate", "Expression, for example 2 + 3", "An arithmetic expression",
                         "What to calculate", "e.g. 12 * 7", "The math expression", "Arithmetic expression to compute",
                         "The expression to calculate, such as 3 + 4", "Expression with + - * /"]
OTHER_TOOLS = [
    ("clock", ["Tells the time", "Returns the current time", "The time of day", "Get the current time"], None, None),
    ("weather", ["Tells the weather in a city", "Get the weather for a place", "Weather report"], "city",
     ["Name of the city", "The city", "City name, e.g. Rome"]),
    ("search", ["Searches the web", "Finds pages about a topic", "Look something up"], "query",
     ["What to search for", "The search text"]),
    ("read_file", ["Reads a text file", "Returns the content of a file"], "path", ["Path of the file", "File name"]),
    ("send_mail", ["Sends a mail to someone", "Send a message"], "to", ["Who gets the mail", "The address"]),
    ("dice", ["Rolls a die", "Returns a random number"], None, None),
    ("translate", ["Translates a text", "Translate words into another language"], "text", ["The text to translate"]),
    ("timer", ["Starts a timer", "Set a timer"], "seconds", ["How long", "Number of seconds"]),
]


def maybe_stop(rng, text):
    return text + "." if rng.random() < 0.5 else text


def make_tool(rng, name, descriptions, argument, argument_descriptions):
    properties = {}
    if argument:
        properties[argument] = {"type": "integer" if argument == "seconds" else "string"}
        if rng.random() < 0.8:
            properties[argument]["description"] = maybe_stop(rng, rng.choice(argument_descriptions))
    parameters = {"type": "object", "properties": properties}
    if argument and rng.random() < 0.9:
        parameters["required"] = [argument]
    function = {"name": name, "description": maybe_stop(rng, rng.choice(descriptions)), "parameters": parameters}
    return {"type": "function", "function": function}


def draw_tools(rng, with_calculator=True, need=None):
    others = rng.sample(OTHER_TOOLS, rng.choices([0, 1, 2], [68, 24, 8])[0])
    if need is not None and not any(o[0] == need for o in others):
        others.append(next(o for o in OTHER_TOOLS if o[0] == need))
    if not with_calculator and not others:
        others = [rng.choice(OTHER_TOOLS)]
    tools = [make_tool(rng, *other) for other in others]
    if with_calculator:
        tools.append(make_tool(rng, "calculator", DESCRIPTIONS, "expression", ARGUMENT_DESCRIPTIONS))
    rng.shuffle(tools)
    return tools


def call(name, arguments):
    return {"role": "assistant", "content": "",
            "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}


def arithmetic_messages(rng, problem=None):
    problem = problem or draw_problem(rng)
    text = expression(problem)
    result = evaluate(text)
    answer = "The calculator could not work that out." if result.startswith("error") else f"{text} is {result}."
    shown = result
    if not result.startswith("error"):
        roll = rng.random()
        if roll < 0.05:
            shown = '{"result": ' + result + "}"
        elif roll < 0.08:
            shown = f"{text} = {result}"
        elif roll < 0.10 and "." not in result:
            shown, answer = result + ".0", f"{text} is {result}.0."
    return [{"role": "user", "content": noisy(rng, question(rng, problem), typos=False)},
            call("calculator", {"expression": text}), {"role": "tool", "content": shown},
            {"role": "assistant", "content": answer}]


def clock_messages(rng):
    time = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}"
    ask = rng.choice(["What time is it?", "What time is it now?", "Tell me the time.", "Do you know the time?",
                      "How late is it?"])
    return [{"role": "user", "content": noisy(rng, ask)}, call("clock", {}), {"role": "tool", "content": time},
            {"role": "assistant", "content": f"It is {time}."}]


def weather_messages(rng):
    city = rng.choice(words.CITIES)
    report = f"{rng.choice(['sunny', 'rainy', 'cloudy', 'windy', 'snowy', 'foggy'])}, {rng.randrange(-9, 36)} C"
    ask = rng.choice(["What is the weather in {}?", "How is the weather in {}?", "What's the weather like in {}?",
                      "Tell me the weather in {}.", "Weather in {}?", "Is it raining in {}?"]).format(city)
    return [{"role": "user", "content": ask}, call("weather", {"city": city}), {"role": "tool", "content": report},
            {"role": "assistant", "content": f"The weather in {city} is {report}."}]


def sorted_keys(value):
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(v) for v in value] if isinstance(value, list) else value


def tool_conversation(rng):
    """(messages, tools) of one conversation with a tool list."""
    messages = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": system_prompt(rng)})
    roll = rng.random()
    if roll < 0.80:
        tools = draw_tools(rng)
        for _ in range(rng.choices([1, 2, 3, 4], [28, 24, 24, 24])[0]):
            messages += arithmetic_messages(rng)
            if rng.random() < 0.06:
                ask, answer = rng.choice([closing_turn, greeting_turn, fact_turn])(rng)
                messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    elif roll < 0.86:
        need, make = rng.choice([("clock", clock_messages), ("weather", weather_messages)])
        tools = draw_tools(rng, rng.random() < 0.7, need)
        messages += make(rng)
        if any(t["function"]["name"] == "calculator" for t in tools) and rng.random() < 0.7:
            messages += arithmetic_messages(rng)
    elif roll < 0.91:
        tools = draw_tools(rng, with_calculator=False)
        messages += [{"role": "user", "content": question(rng, draw_problem(rng))},
                     {"role": "assistant", "content": NEED_TOOL}]
    else:
        tools = draw_tools(rng)
        makers = rng.choices([fact_turn, greeting_turn, story_turn, closing_turn], [4, 3, 3, 1], k=rng.choice([1, 2]))
        for make in makers:
            ask, answer = make(rng)
            while answer == UNKNOWN_ANSWER and len(tools) > 1:  # another listed tool might know the answer
                ask, answer = greeting_turn(rng)
            messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    if rng.random() < 0.25:
        tools = sorted_keys(copy.deepcopy(tools))
    return messages, tools
