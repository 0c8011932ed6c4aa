"""Story skeletons: each is (theme, weather rule, list of beats).

The weather rule is None (any weather may be mentioned), a set of allowed weathers, or an empty set
(the weather is not mentioned outside the beats). `{N}` is the main character, `{N2}` the friend.
"""

ANY = None
NONE = frozenset()
DRY = frozenset({"sunny", "windy"})

SKELETONS = [
    ("a lost toy", ANY, [
        "{N} had {a_toy}. [{He} took it everywhere.|{He} loved it very much.|It was {his} favorite thing.]",
        "[One morning|One day|That day], the {toy} was gone. [\"Oh no! Where is my {toy}?\" {he} cried.|{N} was very sad.|\"I have lost my {toy},\" said {N}.]",
        "{He} looked {hide1}, but it was not there. [Then {he} met {N2} the {sp2}.|{His} friend {N2} the {sp2} came by.]",
        "[\"I will help you,\" said {N2}.|\"Do not cry,\" said {N2}. \"Let us look together.\"]",
        "They looked {hide2}[ too|]. [There it was!|And there was {the_toy}!] [{N} hugged {N2}. \"Thank you!\" {he} said.|\"You found my {toy}!\" said {N}. \"Thank you, {N2}!\"]",
        "[{N} never lost the {toy} again.|Then they played with the {toy} all day.|From then on, {N} took good care of the {toy}.]",
    ]),
    ("a key and a box", ANY, [
        "[One day|In the morning], {N} found a [small|shiny|rusty|golden] key {hide1}. [\"What does it open?\" {he} asked.|{He} wondered what it could open.]",
        "{He} tried the key in the door, but [it did not fit|it was too small]. [Then|After that,] {he} saw an old box {hide2}.",
        "[{He} put the key in the lock and turned it. Click!|The key fit in the lock. Click!] The box opened.",
        "Inside the box was {a_toy}. [{N} smiled.|{N} was so surprised!|\"How lovely!\" said {N}.]",
        "[{He} showed the {toy} to {his} friend {N2} the {sp2}, and they played with it together.|{He} gave the {toy} to {his} friend {N2} the {sp2}, who was very happy.|{He} kept the key in {his} pocket and the {toy} next to {his} bed.]",
    ]),
    ("being afraid of the dark", NONE, [
        "{N} was afraid of the dark. [Every night, {he} hid under the blanket.|{He} did not like to go to bed.]",
        "One night, {he} heard a [strange|little|soft] sound. Tap, tap, tap! [\"Who is there?\" {he} whispered.|{N} began to shake.]",
        "[\"It is only me, {N2} the {sp2},\" said a voice.|It was only {N2} the {sp2} at the window.] \"[I cannot sleep|Come and see the stars|I want to show you something].\"",
        "They [looked out of the window|sat down together|went outside]. The sky was full of [bright|small|shining] stars. [\"The dark is pretty,\" said {N}.|\"Without the dark, we could not see the stars,\" said {N2}.]",
        "After that, {N} was not afraid [of the dark any more|anymore]. [{He} slept well every night.|Now {he} loved the night.]",
    ]),
    ("sharing", ANY, [
        "{N} had [one|a big|a sweet] {food} for lunch. [It smelled so good.|{He} was very hungry.|]",
        "[Then|Just then], {N2} the {sp2} came by. {N2} looked sad. [\"What is wrong?\" asked {N}.|\"Why are you sad?\" {N} asked.]",
        "\"[I am so hungry|I have no food|I lost my lunch],\" said {N2}.",
        "{N} thought for a moment. [Then {he} cut the {food} in two.|Then {he} broke the {food} into two parts.] [\"Half is for you,\" {he} said.|\"Here, we can share it,\" said {N}.]",
        "[They ate together and talked and laughed.|They sat down and ate the {food} together.] [\"A {food} tastes best with a friend,\" said {N}.|{N2} was not hungry or sad any more.|From that day on, they were good friends.]",
    ]),
    ("a friend in trouble", ANY, [
        "{N} was walking {pl} when {he} heard a cry. [\"Help! Help!\"|\"Please help me!\" someone called.]",
        "It was {N2} the {sp2}. {N2} had fallen into a deep hole and could not get out. [\"Do not be afraid,\" said {N}.|\"I will help you,\" said {N}.]",
        "[{N} tried to reach down, but the hole was too deep.|The hole was too deep for {N} to reach {him2}.] So {he} [ran to find a long rope|looked for a long branch|went to get a ladder].",
        "{He} put it down into the hole. [{N2} held on tight and climbed up.|Slowly, {N2} climbed up and up.] [At last {he2} was free!|Soon {he2} was out!]",
        "\"[You saved me|You are so brave|Thank you, {N}]!\" said {N2}. [{N} was proud.|They walked home together.|They became best friends.]",
    ]),
    ("planting a seed", frozenset({"sunny"}), [
        "{N} found a tiny seed {hide1}. [\"I will plant it,\" {he} said.|{He} wanted to see what it would become.]",
        "{He} dug a small hole and put the seed in it. [Every day|Each morning], {he} gave it water. [But nothing happened.|But {he} saw only dirt.]",
        "\"[Be patient|You have to wait|Give it time],\" said {his} {rel}. \"[Good things take time|Seeds need sun and water|It will grow].\"",
        "So {N} waited [and waited|for many days]. [One morning|Then one day], there was a little green leaf! [It grew and grew.|The plant grew taller every day.]",
        "In the end, there was a big {color} flower. [{N} was so proud.|\"It was worth the wait,\" said {N}.|{N} gave the flower to {his} {rel}, and {he3} smiled.]",
    ]),
    ("a kite in a tree", frozenset({"windy"}), [
        "{N} went out to fly {his} {adj} kite. It went up, up, up into the sky. [\"Look how high it is!\" {he} said.|{N} laughed and ran.]",
        "But then the kite got stuck in a tall tree. [{N} pulled the string, but the kite did not move.|{N} jumped, but {he} could not reach it.] [\"Oh no!\" {he} said.|{He} was sad.]",
        "{N2} the {sp2} saw what had happened. \"[I can climb well|I am good at climbing|Let me try],\" said {N2}.",
        "{N2} climbed up the tree and [pulled the kite free|got the kite]. [\"Here you are!\" {he2} said.|Then {he2} came down with the kite.]",
        "[\"Thank you!\" said {N}. \"Now it is your turn to fly it.\"|{N} was so happy that {he} let {N2} fly the kite first.] [They flew the {adj} kite until the sun went down.|The two friends had a wonderful day.]",
    ]),
    ("a snowman", frozenset({"snowy"}), [
        "{N} put on {his} warm {adj} scarf and went outside. [{He} wanted to build a snowman.|\"I will make a snowman!\" {he} said.]",
        "{He} made a big ball of snow, but [it was too heavy to lift|{he} could not lift it]. [Then {N2} the {sp2} came.|{His} friend {N2} the {sp2} saw {him}.] \"Let me help you,\" said {N2}.",
        "Together they put one ball on top of the other. [They used a carrot for the nose and two stones for the eyes.|{N} found a carrot for the nose, and {N2} found two stones for the eyes.]",
        "[\"He looks cold,\" said {N}.|\"Something is missing,\" said {N2}.] So {N} gave the snowman {his} {adj} scarf.",
        "[The snowman seemed to smile.|It was the best snowman of all.] [Then they went home to drink hot milk.|The friends laughed and danced around it.]",
    ]),
    ("learning something new", ANY, [
        "{N} wanted to learn how to [swim|whistle|skate|dance|juggle|ride a bike|jump rope]. [But it was hard.|It did not look hard at all.]",
        "{He} tried once, and it went wrong. {He} tried again, and it went wrong again. [\"I will never learn it,\" {he} said.|{N} wanted to give up.]",
        "[{N2} the {sp2} saw {him}.|{His} friend {N2} the {sp2} sat down next to {him}.] \"[I could not do it at first|It was hard for me too],\" said {N2}. \"[Try a little every day|You must not give up|Let us practice together].\"",
        "So {N} practiced every day. [After a week, it was a little better.|Day by day, it got better.] [And then, one day, {he} could do it!|At last, {he} did it!]",
        "\"[I did it|Look at me|I can do it]!\" {he} shouted. [{N2} clapped.|{N2} was proud of {him}.] [{N} had learned that practice helps.|And {N} smiled all day long.]",
    ]),
    ("baking a cake", ANY, [
        "It was the birthday of {his} {rel}, and {N} wanted to bake a cake. [{He} took flour, milk and sugar.|{He} got a big bowl.] [But there were no eggs!|Then {he} saw that there were no eggs.]",
        "[So {he} went to {N2} the {sp2}.|{N} ran to {his} friend {N2} the {sp2}.] \"Do you have any eggs?\" {he} asked. [\"Yes, I have {n} eggs,\" said {N2}.|\"Of course,\" said {N2}. \"Take {n}.\"]",
        "{N} [mixed everything and put the cake in the oven|took the eggs home and baked the cake]. [Soon it smelled wonderful.|The whole house smelled sweet.]",
        "{His} {rel} came in. \"[What a lovely cake|Is this for me|What a nice surprise]!\" {he3} said. [\"Happy birthday!\" said {N}.|{N} smiled proudly.]",
        "They [asked {N2} to come, and all of them had a piece of cake|ate the cake with {N2}, and everyone was happy].",
    ]),
    ("finding the way home", ANY, [
        "{N} went for a walk {pl}. [{He} followed a {color} butterfly and went too far.|{He} walked and walked and did not look at the path.] Soon {he} did not know the way home.",
        "[\"I am lost,\" said {N}.|{N} sat down and began to cry.] [Then {he} saw {N2} the {sp2}.|{N2} the {sp2} heard {him}.] \"[What is the matter|Are you lost]?\" asked {N2}.",
        "\"[Yes. I want to go home|I cannot find my house],\" said {N}. \"[What is near your house|What does your house look like]?\" asked {N2}.",
        "\"It has a {adj} [door|roof], and it is next to the {toy2} shop,\" said {N}. \"[I know that house|I have seen it]!\" said {N2}. \"[Follow me|Come with me].\"",
        "They walked [over a bridge|past a mill|along a stream] until {N} saw the {toy2} shop. [\"I am home!\" {he} said.|{He} was so happy.] [{His} {rel} gave them both soup.|{N} thanked {N2} and ran to {his} {rel}.]",
    ]),
    ("telling the truth", ANY, [
        "{N} was playing with a ball in the house. [\"Do not play here,\" {his} {rel} had said.|{His} {rel} was in the kitchen.] The ball flew [too high|across the room] and hit {the_toy}. Crash! [The {toy} broke.|It fell to the floor and broke.]",
        "[{N} was scared.|{N} felt bad.] [{He} wanted to hide the {toy} {hide1}.|{He} thought about running away.] But then {he} [took a deep breath|thought again] and went to {his} {rel}.",
        "\"[I broke {the_toy}|It was me. I broke the {toy}],\" {he} said. \"I am sorry.\"",
        "{His} {rel} [was quiet for a moment|looked at {him}]. \"[Thank you for telling the truth|It is good that you told me|That was brave],\" {he3} said.",
        "[Together they fixed the {toy} with glue.|They got some glue and put the {toy} back together.] [It was almost as good as new.|After that, {N} only played ball outside.]",
    ]),
    ("a race", DRY, [
        "{N} and {N2} the {sp2} wanted to have a race. [\"I am faster than you,\" said {N2}.|\"I will win,\" said {N2}.] [\"We will see,\" said {N}.|{N} only smiled.]",
        "[They ran to the old tree.|\"One, two, three, go!\" They ran {pl}.] {N2} was fast and soon far ahead. [\"I have time for a nap,\" {he2} said, and fell asleep.|{He2} stopped to eat {a_food}.]",
        "{N} was slow, but {he} did not stop. [Step by step, {he} went on.|{He} walked and walked.] [{He} passed {N2} and came to the end first.|When {N2} saw {him} again, {N} was already at the end.]",
        "\"[You won|How did you do that]!\" said {N2}. \"[I just kept going|I did not stop],\" said {N}.",
        "[They laughed, and {N2} gave {N} {a_toy} as a prize.|{N2} was not angry. They shook hands and played together.]",
    ]),
    ("a treasure map", ANY, [
        "{N} found an old map {hide1}. [There was a big X on it.|The map showed a path and a big X.] \"[A treasure|It must be a treasure map]!\" said {N}.",
        "{He} asked {his} friend {N2} the {sp2} to come along. [They walked {n} steps to the big tree.|First they went over the hill, then along the stream.] [Then they turned left at the well.|Then they went past the old mill.]",
        "\"This is the place,\" said {N2}. They began to dig[ and dig|]. [Soon they hit something hard.|Bump! There was something hard.] It was a [wooden|small|heavy] box.",
        "In the box there was no gold. There was {a_toy} and a note. The note said: \"[The real treasure is a good friend|Share this with a friend|Have fun].\"",
        "[{N} and {N2} looked at each other and laughed.|\"Then I already have a treasure,\" said {N}.] [They played with the {toy} all afternoon.|They took turns with the {toy}.]",
    ]),
    ("a new friend", ANY, [
        "{N} was playing {pl} with {his} {toy}. [{He} saw {a_sp2} who stood alone.|A new {sp2} stood near the fence and looked at {him}.]",
        "[\"Hello, I am {N}. What is your name?\" asked {N}.|{N} waved. \"Hi! Who are you?\" {he} asked.] \"I am {N2},\" said the {sp2} [quietly|in a soft voice]. \"[I am new here|I have no friends yet].\"",
        "\"Do you want to play with me?\" asked {N}. [{N2} nodded.|\"Yes, please!\" said {N2}.] {N} gave {him2} {the_toy}.",
        "They [played until it was dark|ran and jumped and laughed]. [\"That was fun,\" said {N2}.|{N2} was not shy any more.] \"[Can we play again tomorrow|Will you come back tomorrow]?\" asked {N2}.",
        "\"[Of course|Yes, every day]!\" said {N}. \"[We are friends now|That is what friends do].\"",
    ]),
    ("going to sleep", NONE, [
        "It was late, but {N} could not sleep. [{He} turned left and {he} turned right.|{He} was not tired at all.] {His} {rel} came in.",
        "\"[Why are you awake|Can you not sleep]?\" {he3} asked. \"[My head is too full|I am not tired],\" said {N}.",
        "\"[Then let us count the stars|Count the sheep with me],\" said {his} {rel}. [\"One, two, three, four,\" said {N}.|They counted slowly.] [{His} eyes became small.|Then {he} had to yawn.]",
        "{His} {rel} gave {him} {a_toy} [to hold|to hug] and sang a [soft|quiet|little] song about the moon.",
        "[Before the song was over, {N} was asleep.|{N} closed {his} eyes and fell asleep.] [\"Good night, {N},\" said {his} {rel}.|The moon shone all night.]",
    ]),
    ("helping", ANY, [
        "{N} saw an old {sp2} with a [heavy|big] bag. The old {sp2} walked [very slowly|step by step] and was tired.",
        "\"[May I help you|Let me carry that],\" said {N}[ kindly|]. [\"Oh, that is so nice of you,\" said the {sp2}.|\"Thank you, my dear,\" said the {sp2}.] {N} took the bag and carried it all the way {hide1}.",
        "[\"This is where I live,\" said the {sp2}.|There the old {sp2} lived.] \"[Wait here. I have something for you|You have been so kind].\"",
        "The old {sp2} opened the bag and took out {a_toy}. \"[It is for you|Please take it],\" {he2} said. [{N} was surprised.|{N} could not believe it.]",
        "[{N} said thank you and skipped home.|\"I did not help to get something,\" said {N}, \"but thank you!\"] [It felt good to help.|{He} was happy that {he} had helped.]",
    ]),
    ("a wish", NONE, [
        "One evening, {N} saw a shooting star. [\"I can make a wish!\" {he} said.|{His} {rel} said, \"Make a wish!\"] {N} thought about [{a_toy}|{a_toy} that {he} wanted so much].",
        "But then {he} remembered {his} friend {N2} the {sp2}. {N2} [was sick in bed|had hurt {his2} foot|was sad and alone]. [So {N} closed {his} eyes.|{N} looked up at the sky.]",
        "\"I wish that {N2} feels better,\" {he} [whispered|said].",
        "The next morning, someone [knocked at the door|called {his} name]. It was {N2}! [\"I feel so much better!\" {he2} said.|{He2} was well and happy again.]",
        "[And {N2} had brought a gift: {a_toy}.|{N2} had {a_toy} for {him}.] [So {N} had two wishes come true.|{N} laughed with joy.]",
    ]),
    ("a strange sound", NONE, [
        "At night, {N} heard a strange sound. [Scratch, scratch!|Squeak, squeak!|Bump, bump!] It came from [the kitchen|the attic|the garden|the old barn].",
        "[{N} was scared, but also curious.|{N} wanted to know what it was.] {He} took {his} {adj} lamp and went to look. [The sound got louder.|{His} heart beat fast.]",
        "[And there sat a tiny {sp2}!|There, in the light, was a baby {sp2}.] [It was cold and hungry.|It was lost and shook with cold.] \"[You poor thing|Do not be afraid],\" said {N}.",
        "{N} gave it some [milk|bread|water] and {a_food} and put it in a soft basket. [The {sp2} fell asleep.|Soon it slept.]",
        "In the morning, {N} [helped it to find its mother|took it back to its mother]. [The {sp2} family was so happy.|\"Thank you!\" said the mother {sp2}.]",
    ]),
    ("a boat trip", frozenset({"sunny"}), [
        "{N} and {his} friend {N2} the {sp2} built a small {adj} boat. [They put it on the lake and got in.|They pushed it into the water.] [\"Off we go!\" said {N}.|The water was calm.]",
        "But soon dark clouds came, and the wind blew hard. The boat rocked [from side to side|up and down]. [\"I am scared,\" said {N2}.|\"Hold on!\" called {N}.]",
        "{N} saw a [small island|light on the shore]. \"[We must go there|Row with me]!\" {he} said. They rowed [as hard as they could|with all their strength].",
        "[At last they reached the land.|Soon they felt sand under the boat.] They [sat under a big tree|hid in a dry cave] and waited[ until the storm was over|]. [To pass the time, they told stories.|They shared {a_food}.]",
        "Then the sun came back, and they rowed home. [\"What a trip!\" said {N2}.|\"We did that together,\" said {N}.]",
    ]),
    ("a birthday", ANY, [
        "It was the birthday of {N}, but nobody said a word. [Not even {his} {rel} said anything.|{N2} the {sp2} did not come to see {him}.] [\"They all forgot,\" {he} said.|{N} felt sad.]",
        "{He} went for a walk {pl} alone. [After a while, {he} went home.|Then it got late, and {he} went home.] The house was dark and quiet.",
        "{N} opened the door. \"Surprise!\" [everyone shouted|called {N2} and {his} {rel}]. [There were balloons and candles.|There was a big cake with {n} candles.]",
        "\"[We did not forget|How could we forget you]!\" said {N2} the {sp2}, and gave {him} {a_toy}. [It was just what {he} had wanted.|{N} had never seen such a nice {toy}.]",
        "[They danced and ate cake until night.|It was the best birthday of all.]",
    ]),
    ("a bird with a hurt wing", ANY, [
        "{N} found a small bird {hide1}. It could not fly, because its wing was hurt. [\"Poor bird,\" said {N}.|{N} wanted to help it.]",
        "{He} [carefully|gently] carried the bird home and made a nest in {a_toy2}. [Every day, {he} gave it water and seeds.|{His} {rel} helped {him} to feed it.]",
        "[Day by day, the bird grew stronger.|After some days, the wing was better.] It began to sing. [{N} loved its song.|The song was beautiful.]",
        "Then the time had come. {N} [opened the window|took the bird outside]. [\"Fly, little bird,\" {he} said.|\"Goodbye, my friend,\" {he} said.] The bird flew up into the sky.",
        "{N} was a little sad, but also happy. [And every morning, the bird came back to sing for {him}.|From that day on, the bird sang at the window each morning.]",
    ]),
    ("building a bridge", DRY, [
        "{N} wanted to visit {N2} the {sp2}, who lived on the other side of the river. But the [old bridge was broken|storm had broken the bridge]. [\"How can I get across?\" asked {N}.|The water was too deep and too fast.]",
        "\"[We have to build a new bridge|Let us build a bridge],\" called {N2} from the other side. [{N} looked around and saw a long log.|{N} found a strong log {pl}.]",
        "{N} pushed [and pushed, and at last|until] the log fell across the water. {N2} [tied it with a rope|put big stones on its end] so that it could not roll.",
        "[Slowly, {N} walked over the log.|{N} put one foot in front of the other.] [\"You can do it!\" called {N2}.|{He} did not look down.] Then {he} was on the other side!",
        "[They hugged and ate {foods} together.|{N} had brought {a_toy} as a gift, and they played with it.] [Now they could meet every day.|The new bridge was better than the old one.]",
    ]),
    ("taking turns", ANY, [
        "{N} and {N2} the {sp2} both wanted to play with {the_toy}. \"[It is mine|I had it first]!\" said {N}. \"[No, I want it|No, it is my turn]!\" said {N2}.",
        "They pulled and pulled. [{His} {rel} heard them.|Then {his} {rel} came in.] \"[Stop|Be careful]! [You will break it|If you pull, it will break],\" {he3} said.",
        "[They looked at the {toy} and felt sorry.|They let go of the {toy}.] \"[How can we both have it|What can we do]?\" asked {N2}. {N} had an idea. \"[Let us take turns|You play first, and then I play],\" {he} said.",
        "So {N2} played with the {toy} while {N} [counted to ten|waited]. Then it was the turn of {N}. [Soon they made up a game for two.|It was much more fun this way.]",
        "[\"I am sorry that I shouted,\" said {N}. \"Me too,\" said {N2}.|At the end of the day, they were still friends.]",
    ]),
    ("a muddy day", frozenset({"rainy"}), [
        "{N} looked out of the window. [\"I want to play outside, but it is wet,\" {he} said.|All the paths were full of puddles.] [{He} was bored.|\"What can I do?\" {he} asked.]",
        "Then {N2} the {sp2} knocked at the door. {He2} wore {adj} boots and carried a big umbrella. \"[Come out|Rain is fun]!\" said {N2}. \"[We can jump in the puddles|Let us play in the rain].\"",
        "{N} put on {his} boots and went out. [Splash! They jumped into a puddle.|Splash, splash! The water flew up high.] [They made a boat out of a leaf.|They let {a_toy2} float in the water.]",
        "[Soon they were full of mud and laughed.|There was mud on their noses, and they laughed.] [Then a rainbow stood in the sky.|\"Look, a rainbow!\" said {N}.]",
        "At home, {his} {rel} gave them [a warm bath|warm soup|dry socks]. \"[The rain is my friend now|I like the rain],\" said {N}.",
    ]),
    ("a broken toy", ANY, [
        "{N} had {a_toy}. It was old, but {he} liked it [very much|more than anything]. One day, it broke. [\"My {toy}!\" {he} cried.|{N} was so sad.]",
        "\"[You can get a new one|Buy a new {toy}],\" said {N2} the {sp2}. But {N} did not want a new {toy}. [\"I like this one,\" {he} said.|\"This one is my friend,\" {he} said.]",
        "So they went to {his} {rel}, who could fix things. [{He3} took a needle, some thread and glue.|{He3} looked at the {toy} and got {his3} tools.] [It took a long time.|{He3} worked and worked.]",
        "\"[Here it is|It is done],\" said {his} {rel}. The {toy} was [whole|good] again! [There was only a small line where it had been broken.|It even looked better than before.]",
        "[{N} jumped for joy.|{N} gave {his} {rel} a big hug.] [\"Old things can be the best,\" {he} said.|And {N2} said, \"I am glad you did not throw it away.\"]",
    ]),
]

OPENINGS = [
    "Once upon a time, there was {intro}. [{He} lived {pl}.|]",
    "Once upon a time, there was {intro}. [{W}|]",
    "Once upon a time, {intro} lived {pl}.",
    "Once upon a time, {pl}, there lived {intro}.",
    "One day, {intro} was {pl}.",
    "There once was {intro}. [{He} lived {pl}.|]",
    "Long ago, {intro} lived {pl}.",
    "{N} was a {tr} {sp}. [{He} lived {pl}.|{W}|]",
    "{N} the {sp} lived {pl}. [{W}|]",
    "[In a small house|In a little house] {pl} lived {intro}. [{W}|]",
    "This is the story of {intro}.",
    "A {tr} {sp} named {N} lived {pl}. [{W}|]",
    "{W} {N} the {sp} was {pl}.",
    "A long time ago, there was {intro}[ who lived {pl}|].",
    "Every day, {N} the {sp} went for a walk {pl}.",
    "Far away, {pl}, there was {intro}.",
]

ENDINGS = [
    "The end.", "And they lived happily ever after.", "It was a good day.", "What a day it was!",
    "They were very happy.", "{N} was happy.", "{Wend}", "That night, {N} had sweet dreams.",
    "And {N} went home with a smile.",
]
