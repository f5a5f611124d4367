//! What the generated videos are about: forty categories with their hashtags and with things to make captions of.

/// A category of videos.
pub(super) struct Category {
    pub name: &'static str,
    pub hashtags: [&'static str; TAGS],
    pub things: [&'static str; 6],
}

/// Hashtags of a category.
pub(super) const TAGS: usize = 8;

/// Captions; `{}` is the thing.
pub(super) const CAPTIONS: [&str; 24] = [
    "{}, the way my grandmother does it",
    "I tried {} for thirty days",
    "{} in sixty seconds",
    "Nobody talks about {}",
    "The calmest {} you will see today",
    "My first {} and it shows",
    "How I got better at {}",
    "{}: wait for the end",
    "Three mistakes everyone makes with {}",
    "A quiet morning with {}",
    "{} on a small budget",
    "Why I love {}",
    "{}, step by step",
    "You asked for more {}",
    "Is {} worth it?",
    "{} before sunrise",
    "Part two: {}",
    "A beginner's guide to {}",
    "{} with my best friend",
    "The story behind this {}",
    "What {} taught me",
    "{} but make it simple",
    "Rating every {} I know",
    "{} at the end of a long day",
];

/// Hashtags that any video may carry.
pub(super) const COMMON: [&str; 8] =
    ["fyp", "viral", "learnontheapp", "dayinmylife", "satisfying", "tutorial", "pov", "challenge"];

macro_rules! categories {
    ($($name:literal: $tags:expr; $things:expr;)*) => {
        /// All categories, the more popular first.
        pub(super) const CATEGORIES: &[Category] = &[$(Category { name: $name, hashtags: $tags, things: $things }),*];
    };
}

categories! {
    "comedy": ["funny", "sketch", "standup", "prank", "parody", "memes", "jokes", "impressions"]; ["office sketch", "bad pun", "family impression", "awkward silence", "neighbour prank", "dubbed scene"];
    "music": ["singing", "guitar", "piano", "coversong", "beatmaking", "newmusic", "livemusic", "songwriting"]; ["guitar loop", "one-take cover", "basement concert", "new chorus", "drum fill", "piano riff"];
    "dance": ["hiphop", "ballet", "choreography", "dancechallenge", "breakdance", "salsa", "tapdance", "freestyle"]; ["eight-count", "slow spin", "street battle", "salsa step", "group routine", "kitchen dance"];
    "cooking": ["recipe", "easydinner", "streetfood", "noodles", "homecooking", "spicy", "onepan", "mealprep"]; ["garlic noodles", "ten-minute curry", "crispy tofu", "tomato soup", "fried rice", "lentil stew"];
    "animals": ["cats", "dogs", "puppies", "rescue", "parrots", "wildlife", "kittens", "petcare"]; ["sleepy cat", "rescue dog", "talking parrot", "hedgehog bath", "otter pair", "brave kitten"];
    "football": ["goals", "freekick", "goalkeeper", "training", "skills", "worldcup", "matchday", "dribbling"]; ["free kick", "last-minute goal", "rainy training", "nutmeg", "penalty save", "school league"];
    "gaming": ["speedrun", "indiegames", "retrogaming", "streamer", "boss", "minecraft", "strategy", "esports"]; ["boss fight", "pixel castle", "hidden level", "speedrun", "co-op disaster", "tower build"];
    "beauty": ["makeup", "skincare", "nails", "eyeliner", "glowup", "haircare", "lipstick", "spf"]; ["winged liner", "night routine", "glass skin", "copper nails", "five-minute look", "curly hair wash"];
    "fashion": ["outfit", "thrift", "streetwear", "ootd", "vintage", "sneakers", "capsule", "knitwear"]; ["thrifted coat", "capsule wardrobe", "denim fix", "rainy outfit", "vintage find", "sneaker rotation"];
    "travel": ["backpacking", "hiddenplaces", "trainjourney", "islands", "citywalk", "roadtrip", "hostel", "sunset"]; ["night train", "island ferry", "mountain village", "empty beach", "old town walk", "border crossing"];
    "fitness": ["workout", "homegym", "running", "mobility", "pushups", "strength", "cardio", "stretching"]; ["morning run", "pull-up plan", "hip stretch", "hill sprint", "core circuit", "first marathon"];
    "news": ["worldnews", "explained", "election", "economy", "local", "breaking", "factcheck", "climate"]; ["rent debate", "city council", "budget chart", "new tram line", "weather warning", "fact check"];
    "film": ["movies", "review", "behindthescenes", "scifi", "trailer", "classics", "editing", "shortfilm"]; ["long take", "practical effect", "silent classic", "plot hole", "film set", "ending explained"];
    "education": ["history", "language", "studytips", "exam", "vocabulary", "teacher", "notes", "memory"]; ["lost empire", "five new words", "exam plan", "map trick", "study desk", "odd grammar rule"];
    "science": ["physics", "space", "chemistry", "biology", "experiment", "nasa", "mathematics", "microscope"]; ["vortex ring", "crystal garden", "pond microbe", "moon crater", "pendulum wave", "cold fire"];
    "technology": ["coding", "gadgets", "robotics", "opensource", "keyboard", "linux", "ai", "startup"]; ["tiny robot", "desk setup", "terminal trick", "repaired laptop", "home server", "mechanical keyboard"];
    "diy": ["woodworking", "restoration", "upcycling", "workshop", "tools", "furniture", "makers", "epoxy"]; ["oak stool", "rusty axe", "pallet bench", "hidden drawer", "workshop tour", "cedar box"];
    "garden": ["plants", "urbangarden", "tomatoes", "houseplants", "compost", "seeds", "bonsai", "balcony"]; ["balcony tomato", "compost heap", "moss wall", "seed swap", "old bonsai", "herb spiral"];
    "art": ["drawing", "watercolour", "painting", "sketchbook", "portrait", "digitalart", "sculpture", "ink"]; ["ink portrait", "wet-on-wet sky", "sketchbook page", "clay bust", "mural wall", "tiny painting"];
    "photography": ["streetphoto", "portraits", "film35mm", "landscape", "lightroom", "nightsky", "macro", "lens"]; ["foggy street", "star trail", "golden hour", "dew macro", "old film camera", "window light"];
    "cars": ["supercar", "drift", "electriccar", "garage", "engine", "rally", "detailing", "offroad"]; ["engine swap", "muddy rally", "barn find", "cold start", "paint correction", "mountain pass"];
    "motorbikes": ["moto", "helmet", "touring", "caferacer", "stunt", "enduro", "scooter", "rideout"]; ["coast ride", "cafe racer", "chain care", "desert tour", "trail climb", "first ride"];
    "basketball": ["dunk", "threepointer", "streetball", "nba", "handles", "buzzerbeater", "hoops", "crossover"]; ["buzzer beater", "park court", "crossover drill", "half-court shot", "rim repair", "box-out"];
    "cycling": ["bike", "fixedgear", "mtb", "commute", "gravel", "climb", "bikepacking", "touringbike"]; ["gravel loop", "winter commute", "mountain trail", "wheel truing", "long climb", "bike bag"];
    "baking": ["bread", "sourdough", "cake", "cookies", "pastry", "croissant", "chocolate", "pie"]; ["sourdough loaf", "apple pie", "laminated dough", "lemon cake", "sesame cookies", "braided bread"];
    "coffee": ["espresso", "latteart", "barista", "pourover", "cafe", "beans", "coldbrew", "moka"]; ["latte swan", "pour-over", "moka pot", "tiny cafe", "home roast", "iced espresso"];
    "parenting": ["baby", "toddler", "dadlife", "momlife", "family", "lunchbox", "bedtime", "kidscrafts"]; ["lunchbox", "bedtime story", "first steps", "paper crown", "rainy-day game", "sibling deal"];
    "relationships": ["couples", "dating", "friendship", "advice", "wedding", "marriage", "breakup", "storytime"]; ["first date", "garden wedding", "long-distance call", "old friend", "kind note", "honest talk"];
    "agriculture": ["farm", "harvest", "tractor", "cows", "ricefield", "village", "sheep", "orchard"]; ["rice harvest", "lambing night", "apple orchard", "old tractor", "village market", "milk round"];
    "fishing": ["carp", "seafood", "boat", "fly", "icefishing", "lure", "river", "catchandrelease"]; ["river trout", "ice hole", "hand-made lure", "night carp", "harbour auction", "crab pot"];
    "finance": ["budget", "saving", "investing", "sidehustle", "frugal", "retirement", "stocks", "rent"]; ["monthly budget", "index fund", "no-spend week", "first salary", "rent split", "emergency fund"];
    "books": ["booktok", "reading", "fantasy", "poetry", "library", "novel", "writing", "bookshelf"]; ["slow novel", "library haul", "first chapter", "poem aloud", "shelf tour", "worn paperback"];
    "anime": ["manga", "cosplay", "ghibli", "shonen", "figure", "animation", "otaku", "fanart"]; ["cosplay wig", "manga shelf", "key frame", "fan theory", "figure repaint", "opening theme"];
    "health": ["mentalhealth", "sleep", "doctor", "nutrition", "meditation", "breathing", "posture", "therapy"]; ["breathing exercise", "sleep habit", "posture fix", "doctor's answer", "quiet walk", "gut myth"];
    "architecture": ["tinyhouse", "interior", "renovation", "bridge", "skyscraper", "minimalism", "loft", "cabin"]; ["tiny house", "stone bridge", "loft conversion", "forest cabin", "spiral stair", "brick facade"];
    "magic": ["cardtrick", "illusion", "mindreading", "coins", "escape", "sleightofhand", "street", "reveal"]; ["card force", "coin vanish", "street illusion", "rope escape", "cup and balls", "slow reveal"];
    "chess": ["opening", "endgame", "blitz", "puzzle", "gambit", "checkmate", "grandmaster", "tactics"]; ["queen sacrifice", "mate in three", "park blitz", "odd gambit", "rook endgame", "kids' final"];
    "knitting": ["crochet", "yarn", "sewing", "quilt", "embroidery", "pattern", "weaving", "sweater"]; ["cable sweater", "granny square", "visible mending", "sock heel", "quilt block", "loom test"];
    "outdoors": ["hiking", "camping", "bushcraft", "climbing", "kayak", "summit", "tent", "forest"]; ["summit ridge", "rain tent", "camp stove", "granite crack", "lake crossing", "forest shelter"];
    "astronomy": ["telescope", "moon", "planets", "eclipse", "galaxy", "stargazing", "comet", "saturn"]; ["saturn ring", "home telescope", "partial eclipse", "comet tail", "milky way", "lunar edge"];
}
