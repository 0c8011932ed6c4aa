"""Word lists shared by the corpus generators. All entries are plain, child-level English."""

GIRLS = """Mia Lily Anna Ella Ruby Nora Zoe Ivy Lucy Rosa Emma Maya Clara Hana Tara Wendy Bella Alice Daisy
Sara Molly Poppy Freya Greta Nina Olive Pia Edith June Stella Amira Leila Priya Yuki Mei Ines Kaya Dora
Vera Lena""".split()

BOYS = """Tom Ben Sam Max Leo Jack Finn Oscar Noah Theo Luca Milo Omar Ravi Kofi Ivan Hugo Felix Eli Adam
Owen Toby Arlo Jude Nico Pablo Kenji Amir Dan Peter Oliver Henry Louis Rory Simon Victor Walter Emil Karl
Jonas""".split()

ANIMAL_NAMES = """Pip Bibi Momo Fuzzy Dot Biscuit Pepper Button Coco Bubbles Patch Nibbles Hazel Clover Sunny
Rusty Willow Bramble Teddy Twig Fern Olly Misty Peanut Ginger Snowy Pebble Tilly Bruno Maple Waffles Kiki
Lulu Bo Tuck Fig Acorn Berry Juno Socks""".split()

ANIMALS = """fox cat dog rabbit mouse bear hedgehog squirrel frog duck turtle owl pig lamb goat pony hen
kitten puppy otter beaver mole badger deer bunny panda koala penguin seal elephant lion tiger monkey
giraffe zebra donkey goose snail bee bird dragon robot camel kangaroo crab dinosaur wolf parrot hamster
swan whale dolphin""".split()

# Other people and fairy-tale beings, with the pronoun where the word fixes one.
PEOPLE = {
    "princess": "f", "prince": "m", "king": "m", "queen": "f", "witch": "f", "wizard": "m", "fairy": "f",
    "mermaid": "f", "knight": "", "pirate": "", "baker": "", "farmer": "", "sailor": "", "giant": "", "ghost": "",
    "unicorn": "", "elf": "", "monster": "", "painter": "", "teacher": "", "doctor": "", "clown": "", "cook": "",
    "fisherman": "m", "grandmother": "f", "snowman": "m", "troll": "", "alien": "", "astronaut": "",
}
SYLLABLES = """ba be bo da de di do fa fi ga go ka ki ko la le li lo ma mi mo na ne ni no pa pe po ra re ri ro
sa si so ta te ti to va vi za zo zu""".split()
CODAS = ["", "", "", "n", "r", "s", "l", "x", "tt", "ck"]

TOYS = """ball kite drum doll hat scarf bell lamp blanket book balloon whistle boat flute cup basket
wagon umbrella puppet train truck coat ribbon marble button necklace ring spoon bucket teapot clock mirror
backpack pillow teddy pencil coin shell feather robot crown lantern bracelet mitten sock shoe paintbrush
trumpet rocket car plane puzzle bike boot bag brush comb bowl flag guitar candle jar toy""".split()

COLORS = """red blue green yellow orange purple pink white black brown golden silver gray""".split()

OBJ_ADJS = """little big old new shiny round soft tiny pretty lovely small wooden striped bright""".split()

TRAITS = """little small kind brave shy happy clever quiet gentle curious funny young cheerful tiny sleepy
busy friendly careful playful""".split()

FOODS = """apple pear cookie bun cake sandwich pancake muffin carrot banana peach orange pie plum
pretzel""".split()

PLACES = """forest meadow garden park farm village hill river beach pond lake valley field yard orchard
island mountain town""".split()

PLACE_PREP = {
    "farm": "on a", "beach": "on a", "hill": "on a", "island": "on an", "mountain": "on a",
    "river": "near a", "pond": "near a", "lake": "near a", "forest": "in a", "village": "in a",
    "park": "near a", "garden": "in a", "meadow": "in a", "valley": "in a", "field": "in a",
    "yard": "in a", "orchard": "in an", "town": "in a",
}

AT_PLACE = {
    "farm": "on the farm", "beach": "on the beach", "hill": "on the hill", "island": "on the island",
    "mountain": "on the mountain", "river": "by the river", "pond": "by the pond",
    "lake": "by the lake", "forest": "in the forest", "village": "in the village",
    "park": "in the park", "garden": "in the garden", "meadow": "in the meadow",
    "valley": "in the valley", "field": "in the field", "yard": "in the yard",
    "orchard": "in the orchard", "town": "in the town",
}

HIDING = [
    ("under the bed", "bed"), ("behind the door", "door"), ("under the old tree", "old tree"),
    ("behind a big rock", "rock"), ("in the tall grass", "tall grass"), ("under the table", "table"),
    ("near the well", "well"), ("behind the barn", "barn"), ("in the kitchen", "kitchen"),
    ("under a bench", "bench"), ("beside the path", "path"), ("next to the gate", "gate"),
    ("in a pile of leaves", "pile of leaves"), ("behind the shed", "shed"), ("under a bush", "bush"),
    ("near the fence", "fence"), ("in the attic", "attic"), ("on the stairs", "stairs"),
]

WEATHER = {
    "sunny": ["The sun was shining.", "It was a warm and sunny day.", "The sky was blue and clear."],
    "rainy": ["It was raining.", "It was a gray and rainy day.", "Rain fell softly from the sky."],
    "snowy": ["It was snowing.", "Snow lay on the ground.", "It was a cold and snowy day."],
    "windy": ["It was a windy day.", "The wind was blowing.", "A strong wind shook the trees."],
    "foggy": ["It was a foggy day.", "Fog lay over the ground.", "It was hard to see in the fog."],
}

WEATHER_END = {
    "sunny": ["The sun was still shining.", "They sat down in the warm sun."],
    "rainy": ["Outside, the rain was still falling.", "They did not mind the rain at all."],
    "snowy": ["The snow was still falling.", "They made hot soup because of the snow."],
    "windy": ["The wind was still blowing.", "They laughed in the wind."],
    "foggy": ["Slowly the fog went away.", "Nobody minded the fog now."],
}

SOUNDS = {
    "cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "sheep": "baa", "pig": "oink",
    "horse": "neigh", "hen": "cluck", "rooster": "cock-a-doodle-doo", "frog": "ribbit", "owl": "hoot",
    "bee": "buzz", "mouse": "squeak", "lion": "roar", "snake": "hiss", "bird": "tweet", "wolf": "howl",
    "goose": "honk", "crow": "caw", "goat": "maa", "donkey": "hee-haw", "bear": "growl",
}

OPPOSITES = [
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("happy", "sad"), ("fast", "slow"),
    ("day", "night"), ("open", "closed"), ("old", "young"), ("wet", "dry"), ("light", "dark"),
    ("hard", "soft"), ("full", "empty"), ("loud", "quiet"), ("high", "low"), ("left", "right"),
    ("near", "far"), ("early", "late"), ("clean", "dirty"), ("long", "short"), ("good", "bad"),
    ("strong", "weak"), ("in", "out"), ("first", "last"), ("yes", "no"), ("thick", "thin"),
]

THING_COLORS = {
    "the sky": "blue", "grass": "green", "a banana": "yellow", "snow": "white", "a tomato": "red",
    "an orange": "orange", "a carrot": "orange", "the sun": "yellow", "a leaf": "green", "milk": "white",
    "a lemon": "yellow", "coal": "black", "a frog": "green", "a strawberry": "red", "chocolate": "brown",
    "the sea": "blue", "a cloud": "white", "a cherry": "red", "a pea": "green", "an elephant": "gray",
    "a polar bear": "white", "a crow": "black", "fire": "red and orange", "a flamingo": "pink",
}

BABIES = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "horse": "foal", "hen": "chick",
    "duck": "duckling", "bear": "cub", "pig": "piglet", "goat": "kid", "frog": "tadpole", "goose": "gosling",
    "lion": "cub", "kangaroo": "joey", "owl": "owlet", "deer": "fawn", "rabbit": "bunny",
}

LEGS = {
    "a dog": "four", "a cat": "four", "a bird": "two", "a spider": "eight", "an ant": "six", "a bee": "six",
    "a hen": "two", "a cow": "four", "a horse": "four", "a snake": "no", "a fish": "no", "a duck": "two",
    "a frog": "four", "a penguin": "two", "a table": "four",
}

HOMES = {
    "a fish": "in the water", "a bird": "in a nest", "a bee": "in a hive", "a bear": "in a cave",
    "a rabbit": "in a burrow", "a dog": "in a kennel", "a pig": "in a sty", "a horse": "in a stable",
    "an owl": "in a tree", "a mole": "under the ground", "a spider": "in a web", "a camel": "in the desert",
    "a penguin": "on the ice", "a whale": "in the sea", "a monkey": "in the jungle", "a fox": "in a den",
}

EATS = {
    "a cow": "grass", "a rabbit": "carrots and grass", "a monkey": "bananas", "a cat": "fish and meat",
    "a panda": "bamboo", "a squirrel": "nuts", "a bear": "berries and honey", "a mouse": "seeds and cheese",
    "a horse": "hay", "a bird": "seeds and worms", "a lion": "meat", "a frog": "flies", "a sheep": "grass",
    "a koala": "leaves", "a penguin": "fish", "a dog": "meat and bones",
}

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December"]
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

CITIES = """Paris London Berlin Madrid Rome Tokyo Oslo Vienna Prague Lisbon Dublin Athens Cairo Lima Boston
Chicago Zurich Geneva Hamburg Munich Sydney Delhi Seoul Helsinki Warsaw Lyon Milan Toronto Denver
Seattle Naples Bern""".split()

COUNTRIES = """France Spain Italy Norway Japan Brazil Egypt Canada India Kenya Chile Peru Poland Greece
Sweden Turkey China Mexico Portugal Austria Cuba Ghana Iceland Ireland""".split()
