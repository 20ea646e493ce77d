"""Colours, units and letters as in Grafana's dark theme."""
import math

CANVAS, PANEL, EDGE = "#111217", "#181b1f", "#2b2e34"
TEXT, FAINT, GRID = "#d0d1d9", "#8e9099", "#2a2d33"
FONT = "Inter, Roboto, Helvetica, Arial, sans-serif"
PALETTE = ["#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#CA95E5", "#37872D",
           "#FADE2A", "#447EBC", "#C15C17", "#E02F44", "#3274D9", "#A352CC", "#56A64B"]
NAMED = {"green": "#73BF69", "yellow": "#FADE2A", "red": "#F2495C", "orange": "#FF9830", "blue": "#5794F2",
         "purple": "#B877D9", "light-blue": "#8AB8FF", "dark-red": "#C4162A", "dark-orange": "#FA6400", "text": TEXT,
         "transparent": "none"}
UNITS = {"reqps": " req/s", "ops": " ops/s", "cps": " c/s"}


def color(name):
    return NAMED.get(name, name)


def width(text, size):
    """About how wide a text is."""
    narrow = sum(character in "iljtfI.,:;|!'()[]/ " for character in text)
    wide = sum(character in "mwMW%@→" for character in text)
    return size * (0.56 * len(text) - 0.24 * narrow + 0.25 * wide)


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def scaled(value, steps, decimals):
    """A value with the prefix that fits it; steps are (factor, suffix) from small to large."""
    fitting = [step for step in steps if abs(value) >= step[0]] or [steps[0]]
    factor, suffix = fitting[-1]
    number = value / factor
    places = decimals if decimals is not None else (0 if number == round(number) else 2 if abs(number) < 10 else 1)
    return f"{number:.{places}f}{suffix}"


def span(seconds):
    parts, rest = [], round(seconds)
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {word}{'s' if count > 1 else ''}")
    return ", ".join(parts[:2]) or "0 seconds"


def unit(value, name, decimals=None):
    """A number in words, in a unit of Grafana."""
    if value is None or math.isnan(value):
        return ""
    if name == "percentunit":
        share = value * 100
        places = decimals if decimals is not None else (0 if abs(share - round(share)) < 0.005 else 1)
        return f"{share:.{places}f}%"
    if name == "s":
        if value == 0:
            return "0 s"
        return scaled(value, [(1e-6, " µs"), (1e-3, " ms"), (1, " s"), (60, " min"), (3600, " hours")], decimals)
    if name == "dtdurations":
        return span(value)
    if name in ("bytes", "Bps"):
        tail = "/s" if name == "Bps" else ""
        steps = [(1, " B"), (1024, " KiB"), (1024 ** 2, " MiB"), (1024 ** 3, " GiB")]
        return scaled(value, [(factor, suffix + tail) for factor, suffix in steps], decimals)
    if name == "hex":
        return f"{int(value):x}"
    steps = [(1, ""), (1e3, " K"), (1e6, " Mil")] if name == "short" else [(1, "")]
    return scaled(value, steps, decimals) + UNITS.get(name, "")


def threshold(value, steps):
    """The colour of a value."""
    found = steps[0]["color"]
    for step in steps[1:]:
        if value is not None and value >= step["value"]:
            found = step["color"]
    return color(found)


def mapped(value, mappings):
    """Text and colour that a value is mapped to, or nothing."""
    text = str(value)
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    for mapping in mappings or []:
        if text in mapping["options"]:
            found = mapping["options"][text]
            return found["text"], color(found["color"])
    return None


def ticks(low, high, count):
    """Round numbers between two."""
    if high <= low:
        high = low + 1
    raw = (high - low) / max(count, 1)
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw * 0.999)
    first = math.ceil(low / step) * step
    return [first + index * step for index in range(int((high - first) / step + 1e-9) + 1)]


def turbo(share):
    """Google's Turbo scale at a share between 0 and 1, by its polynomial approximation."""
    x = min(max(share, 0), 1)
    terms = {
        0: (0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943),
        1: (0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604),
        2: (0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973),
    }
    channel = lambda k: min(max(sum(c * x ** n for n, c in enumerate(terms[k])), 0), 1)
    return "#" + "".join(f"{round(channel(k) * 255):02x}" for k in range(3))
