"""Arithmetic problems: operands, wordings of the question and the value a calculator gives."""

HELD_OUT_MODULUS = 23


def held_out(a, b):
    """Operand pairs that training never shows; they are kept for the evaluation."""
    return (a * 7919 + b * 104729) % HELD_OUT_MODULUS == 0


def draw_number(rng):
    digits = rng.choices([1, 2, 3, 4, 5], [16, 34, 26, 20, 4])[0]
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10 ** digits)


def draw_pair(rng, want_held_out=False):
    while True:
        a, b = draw_number(rng), draw_number(rng)
        if held_out(a, b) == want_held_out:
            return a, b


def draw_problem(rng, want_held_out=False, simple=False):
    """(operands, operators) of one problem. Operands are text."""
    a, b = draw_pair(rng, want_held_out)
    op = rng.choice("++--***/")
    operands, ops = [str(a), str(b)], [op]
    if not simple:
        roll = rng.random()
        if roll < 0.05:
            operands.append(str(draw_number(rng)))
            ops.append(rng.choice("+-*/"))
        elif roll < 0.09:
            operands = [f"{v}.{rng.randrange(1, 100)}" if rng.random() < 0.7 else v for v in operands]
    return operands, ops


def expression(problem):
    operands, ops = problem
    text = operands[0]
    for op, operand in zip(ops, operands[1:]):
        text += f" {op} {operand}"
    return text


def evaluate(text):
    try:
        value = eval(text, {"__builtins__": {}})  # digits and operators of our own making only
    except ZeroDivisionError:
        return "error: division by zero"
    if isinstance(value, float):
        value = round(value, 4)
        return str(int(value)) if value == int(value) else repr(value)
    return str(value)


SIGNS = {
    "+": [("{a} + {b}", 6), ("{a}+{b}", 2), ("{a} plus {b}", 4)],
    "-": [("{a} - {b}", 6), ("{a}-{b}", 2), ("{a} minus {b}", 4)],
    "*": [("{a} * {b}", 6), ("{a}*{b}", 2), ("{a} times {b}", 4), ("{a} x {b}", 2), ("{a} multiplied by {b}", 2)],
    "/": [("{a} / {b}", 6), ("{a}/{b}", 2), ("{a} divided by {b}", 4), ("{a} over {b}", 1)],
}
IMPERATIVES = {
    "+": ["Add {a} and {b}.", "Add {b} to {a}.", "What is the sum of {a} and {b}?", "What do you get if you add {a} and {b}?"],
    "-": ["Subtract {b} from {a}.", "Take {b} away from {a}.", "What is the difference between {a} and {b}?",
          "What is left if you take {b} from {a}?"],
    "*": ["Multiply {a} by {b}.", "Multiply {a} and {b}.", "What is the product of {a} and {b}?",
          "I have {a} bags with {b} apples each. How many apples do I have?"],
    "/": ["Divide {a} by {b}.", "What do you get if you divide {a} by {b}?", "Share {a} among {b}."],
}
FRAMES = """What is {}?
What is {}?
What is {}?
What's {}?
How much is {}?
Calculate {}.
Compute {}.
Can you calculate {}?
Please calculate {}.
Tell me {}.
Tell me what {} is.
{}
{} = ?
{}?
Work out {}.
What does {} make?
What do I get for {}?
Do you know what {} is?
I need to know {}.
How much is {}, please?
Solve {}.
Can you tell me what {} is?
What is the result of {}?
Evaluate {}.
Use the calculator: {}
Hello! What is {}?
Could you work out {} for me?
And what is {}?
Now {}.""".split("\n")


def question(rng, problem):
    operands, ops = problem
    if len(ops) == 1 and rng.random() < 0.2:
        return rng.choice(IMPERATIVES[ops[0]]).format(a=operands[0], b=operands[1])
    text = operands[0]
    for op, operand in zip(ops, operands[1:]):
        forms, weights = zip(*SIGNS[op])
        text = rng.choices(forms, weights)[0].format(a=text, b=operand)
    return rng.choice(FRAMES).format(text)
