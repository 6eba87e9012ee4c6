"""What a clip is called, in English and in French: synonyms, several word orders, all chosen by spec and variant."""

from world import Rng

EN = dict(
    actor=dict(
        balloon=["balloon", "hot-air balloon"],
        sailboat=["sailboat", "sailing boat", "boat"],
        plane=["paper plane", "paper airplane", "paper aeroplane"],
        fish=["fish"],
        bird=["bird"],
        butterfly=["butterfly"],
        car=["car", "little car"],
        rocket=["rocket", "rocket ship"],
        whale=["whale"],
        kite=["kite"],
        lantern=["lantern", "paper lantern"],
        star=["star", "smiling star"],
    ),
    colour=dict(
        red=["red", "red", "crimson", "scarlet"],
        orange=["orange"],
        yellow=["yellow", "yellow", "golden"],
        green=["green", "green", "emerald"],
        blue=["blue"],
        purple=["purple", "purple", "violet"],
        pink=["pink"],
        white=["white"],
    ),
    motion=dict(
        left=["drifts left", "moves left", "swims left", "goes left", "glides to the left"],
        right=["drifts right", "moves right", "swims right", "goes right", "glides to the right"],
        rise=["rises", "floats up", "goes up", "climbs upwards"],
        fall=["falls", "sinks down", "goes down", "drops downwards"],
        bounce=["bounces", "bounces up and down", "hops up and down"],
        spin=["spins", "spins around", "rotates", "twirls"],
        grow=["grows", "grows bigger", "gets larger", "comes closer"],
        circle=["circles", "moves in a circle", "flies in circles", "loops around"],
        swing=["swings", "swings back and forth", "sways from side to side"],
    ),
    place=dict(
        sea=["over the sea", "across the sea", "above the ocean", "by the sea"],
        desert=["in the desert", "over the desert", "above the sand dunes"],
        mountains=["in the snowy mountains", "over the mountains", "above the mountains"],
        forest=["in the forest", "over the forest", "among the trees"],
        city=["over the city", "in the city", "above the rooftops"],
        meadow=["over the meadow", "in a green meadow", "above the flowery hills"],
        sky=["in the sky", "among the clouds", "in the cloudy sky"],
        space=["in space", "in outer space", "among the planets"],
    ),
    time=dict(
        day=["during the day", "by day", "in daylight", "on a bright day"],
        sunset=["at sunset", "at sunset", "at dusk", "in the evening"],
        night=["at night", "at night", "under the stars", "in the dark night"],
        nightfall=["as night falls", "as day turns to night"],
    ),
    weather=dict(
        snow=["in the snow", "while it snows", "with falling snow"],
        rain=["in the rain", "while it rains", "with falling rain"],
    ),
    camera={
        "pan left": ["the camera pans left", "the view pans left"],
        "pan right": ["the camera pans right", "the view pans right"],
    },
)

FR = dict(
    actor=dict(
        balloon=["m ballon", "f montgolfière"],
        sailboat=["m voilier", "m bateau à voile", "m bateau"],
        plane=["m avion en papier", "m petit avion en papier"],
        fish=["m poisson"],
        bird=["m oiseau"],
        butterfly=["m papillon"],
        car=["f voiture", "f petite voiture"],
        rocket=["f fusée"],
        whale=["f baleine"],
        kite=["m cerf-volant"],
        lantern=["f lanterne", "f lanterne en papier"],
        star=["f étoile", "f étoile souriante"],
    ),
    colour=dict(
        red=["rouge rouge"],
        orange=["orange orange"],
        yellow=["jaune jaune"],
        green=["vert verte"],
        blue=["bleu bleue"],
        purple=["violet violette"],
        pink=["rose rose"],
        white=["blanc blanche"],
    ),
    motion=dict(
        left=["glisse vers la gauche", "va vers la gauche", "se déplace vers la gauche"],
        right=["glisse vers la droite", "va vers la droite", "se déplace vers la droite"],
        rise=["monte", "s'élève", "monte lentement"],
        fall=["descend", "tombe", "descend lentement"],
        bounce=["rebondit", "saute de haut en bas"],
        spin=["tourne sur place", "pivote", "tournoie"],
        grow=["grandit", "grossit", "s'approche"],
        circle=["tourne en rond", "fait des cercles", "décrit un cercle"],
        swing=["se balance", "oscille"],
    ),
    place=dict(
        sea=["sur la mer", "au-dessus de la mer", "au-dessus de l'océan"],
        desert=["dans le désert", "au-dessus du désert", "au-dessus des dunes"],
        mountains=["dans les montagnes enneigées", "au-dessus des montagnes", "à la montagne"],
        forest=["dans la forêt", "au-dessus de la forêt", "parmi les arbres"],
        city=["dans la ville", "au-dessus de la ville", "au-dessus des toits"],
        meadow=["dans la prairie", "au-dessus de la prairie", "sur les collines fleuries"],
        sky=["dans le ciel", "parmi les nuages", "dans le ciel nuageux"],
        space=["dans l'espace", "parmi les planètes"],
    ),
    time=dict(
        day=["le jour", "en plein jour", "pendant la journée"],
        sunset=["au coucher du soleil", "au crépuscule", "le soir"],
        night=["la nuit", "sous les étoiles", "dans la nuit noire"],
        nightfall=["à la tombée de la nuit", "tandis que la nuit tombe"],
    ),
    weather=dict(
        snow=["sous la neige", "pendant qu'il neige"],
        rain=["sous la pluie", "pendant qu'il pleut"],
    ),
    camera={
        "pan left": ["la caméra glisse vers la gauche", "la vue glisse vers la gauche"],
        "pan right": ["la caméra glisse vers la droite", "la vue glisse vers la droite"],
    },
)


def noun(r, words, a, french):
    kind, colour = r.pick(words["actor"][a["actor"].split()[-1]]), r.pick(words["colour"][a["colour"]])
    if not french:
        article = r.pick(["a", "a", "a", "the", "one"])
        return "%s %s %s" % ("an" if article == "a" and colour[0] in "aeiou" else article, colour, kind)
    gender, kind = kind.split(" ", 1)
    colour = colour.split()[gender == "f"]
    if r.f() < 0.75:
        return "%s %s %s" % ("une" if gender == "f" else "un", kind, colour)
    if kind[0] in "aeioué":
        return "l'%s %s" % (kind, colour)
    return "%s %s %s" % ("la" if gender == "f" else "le", kind, colour)


def deed(r, words, a, french):
    """who does what"""
    n, v = noun(r, words, a, french), r.pick(words["motion"][a["motion"]])
    if a["then"] is None:
        return "%s %s" % (n, v)
    v2 = r.pick(words["motion"][a["then"]])
    if french:
        return r.pick(["%s %s, puis %s", "d'abord %s %s, puis %s", "%s %s et ensuite %s"]) % (n, v, v2)
    return r.pick(["%s first %s, then %s", "%s %s, then %s", "%s %s and then %s"]) % (n, v, v2)


def caption(s, variant=0, language=None):
    """language: "en" or "fr"; by itself even variants are English and odd ones French"""
    return parsed(s, variant, language)[0]


def parsed(s, variant=0, language=None):
    """a caption, and [(begin, end)] of what tells each actor and its deeds in it, and then of what tells a camera that pans"""
    french = language == "fr" if language else variant % 2 == 1
    words, r = FR if french else EN, Rng(s["words"] + 7919 * variant)
    deeds = [deed(r, words, a, french) for a in s["actors"]]
    if len(deeds) == 1:
        who = deeds[0]
    elif french:
        que = "qu'" if deeds[1][0] == "u" else "que "
        who = r.pick(["%s tandis " + que + "%s", "%s pendant " + que + "%s", "%s et %s"]) % tuple(deeds)
    else:
        who = r.pick(["%s while %s", "%s and %s", "%s as %s"]) % tuple(deeds)
    p, t = r.pick(words["place"][s["place"]]), r.pick(words["time"][s["time"]])
    c = r.pick(["{w} {p} {t}", "{w} {p} {t}", "{t}, {w} {p}", "{p} {t}, {w}", "{w} {t} {p}", "{p}, {w} {t}"])
    c = c.format(w=who, p=p, t=t)
    if s["weather"] != "clear":
        c += r.pick([" ", ", "]) + r.pick(words["weather"][s["weather"]])
    spans = [(c.index(d), c.index(d) + len(d)) for d in deeds]
    if s["camera"] != "still":
        c += ", " + r.pick(words["camera"][s["camera"]])
        spans.append((c.rindex(",") + 2, len(c)))
    if r.f() < 0.25:
        c = c[0].upper() + c[1:] + "."
    return c, spans
