"""Panels over time: lines, areas, bars, states, heatmaps."""
import math
import re
import time

from look import FAINT, GRID, PALETTE, TEXT, color, escape, mapped, ticks, turbo, unit, width


def clock(at):
    return time.strftime("%H:%M:%S" if at % 60 else "%H:%M", time.gmtime(at))


class Style:
    """How one series is drawn: the panel's defaults, changed by the overrides for its name."""

    def __init__(self, panel, name, index):
        defaults = panel["fieldConfig"]["defaults"]
        self.custom = dict(defaults.get("custom", {}))
        self.unit, self.decimals = defaults.get("unit", "none"), defaults.get("decimals")
        self.color = PALETTE[index % len(PALETTE)]
        for rule in panel["fieldConfig"]["overrides"]:
            matcher = rule["matcher"]
            pattern = matcher["options"].strip("/")
            fits = re.search(pattern, name) if matcher["id"] == "byRegexp" else matcher["options"] == name
            for found in rule["properties"] if fits else []:
                if found["id"].startswith("custom."):
                    self.custom[found["id"][7:]] = found["value"]
                elif found["id"] == "color":
                    self.color = color(found["value"]["fixedColor"])
                elif found["id"] == "unit":
                    self.unit = found["value"]
        self.right = self.custom.get("axisPlacement") == "right"
        self.hidden = self.custom.get("hideFrom", {}).get("viz", False)


class Plot:
    """The area within axes."""

    def __init__(self, out, source, left, top, width, height):
        self.out, self.source = out, source
        self.left, self.top, self.width, self.height = left, top, width, height

    def x(self, at):
        return self.left + (at - self.source.start) / (self.source.end - self.source.start) * self.width

    def y(self, value, low, high):
        share = (value - low) / (high - low) if high > low else 0
        return self.top + self.height * (1 - min(max(share, -0.01), 1.01))

    def time_axis(self):
        minutes = (self.source.end - self.source.start) / 60
        every = next(step for step in (0.5, 1, 2, 5, 10) if minutes / step * 52 <= self.width) * 60
        at = math.ceil(self.source.start / every) * every
        while at <= self.source.end:
            x = self.x(at)
            self.out.line(x, self.top, x, self.top + self.height, GRID)
            if self.left + 14 < x < self.left + self.width - 14:
                self.out.text(x, self.top + self.height + 16, clock(at), 11, FAINT, "middle")
            at += every

    def value_axis(self, low, high, name, decimals, right=False):
        marks = ticks(low, high, max(2, round(self.height / 42)))
        for mark in marks:
            y = self.y(mark, low, high)
            if not right:
                self.out.line(self.left, y, self.left + self.width, y, GRID)
            x = self.left + self.width + 6 if right else self.left - 6
            self.out.text(x, y + 4, unit(mark, name), 11, FAINT, "start" if right else "end")


def legend(out, panel, drawn, left, bottom, breadth):
    """Draws the legend upwards from the bottom; returns its height."""
    options = panel["options"]["legend"]
    if options["displayMode"] == "table":
        rows = drawn[:6]
        words = {"mean": "Mean", "max": "Max", "lastNotNull": "Last *"}
        height = 20 * (len(rows) + 1)
        for column, calc in enumerate(options["calcs"]):
            x = left + breadth - 8 - 82 * (len(options["calcs"]) - 1 - column)
            out.text(x, bottom - height + 14, words[calc], 11, "#6e9fff", "end", 500)
            for row, (name, points, style) in enumerate(rows):
                values = [value for _, value in points if not math.isnan(value)] or [math.nan]
                value = {"mean": sum(values) / len(values), "max": max(values), "lastNotNull": values[-1]}[calc]
                out.text(x, bottom - height + 34 + 20 * row, unit(value, style.unit, style.decimals), 11, TEXT, "end")
        for row, (name, _, style) in enumerate(rows):
            y = bottom - height + 34 + 20 * row
            out.rect(left + 2, y - 6, 14, 4, style.color, 2)
            out.text(left + 22, y, clipped(name, breadth - 290), 11, TEXT)
        return height
    lines, x = [[]], left
    for name, _, style in drawn:
        name = clipped(name, breadth - 40)
        needed = width(name, 11) + 34
        if x + needed > left + breadth and lines[-1]:
            lines.append([])
            x = left
        lines[-1].append((x, name, style.color))
        x += needed
    lines = lines[:3]
    for row, line in enumerate(lines):
        y = bottom - 18 * (len(lines) - row) + 12
        for x, name, fill in line:
            out.rect(x + 2, y - 6, 14, 4, fill, 2)
            out.text(x + 21, y, name, 11, TEXT)
    return 18 * len(lines) + 2


def clipped(text, room):
    while width(text, 11) > room and len(text) > 4:
        text = text[:-2].rstrip("…") + "…"
    return text


def stacked(drawn, percent):
    """The lower and upper edge of each series at each time."""
    times = sorted({at for _, points, _ in drawn for at, _ in points})
    totals = dict.fromkeys(times, 0.0)
    for _, points, _ in drawn:
        for at, value in points:
            totals[at] += 0 if math.isnan(value) else value
    base, found = dict.fromkeys(times, 0.0), []
    for name, points, style in drawn:
        edges = []
        for at, value in points:
            part = 0 if math.isnan(value) else value
            if percent:
                part = part / totals[at] if totals[at] else 0
            edges.append((at, base[at], base[at] + part))
            base[at] += part
        found.append((name, edges, style))
    return found


def split(points, gap):
    """Runs of points without a hole between them."""
    runs = []
    for point in points:
        if math.isnan(point[-1]):
            continue
        if not runs or point[0] - runs[-1][-1][0] > gap:
            runs.append([])
        runs[-1].append(point)
    return runs


def timeseries(out, panel, source, rows, marks, exemplars, box):
    left, top, breadth, height = box
    defaults = panel["fieldConfig"]["defaults"]
    drawn = [(name, points, Style(panel, name, index)) for index, (name, points) in enumerate(rows)]
    if not drawn:
        return out.text(left + breadth / 2, top + height / 2, defaults.get("noValue", "No data"), 13, FAINT, "middle")
    bottom = legend(out, panel, drawn, left, top + height, breadth)
    drawn = [row for row in drawn if not row[2].hidden]
    mode = defaults["custom"]["stacking"]["mode"]
    stack = [row for row in drawn if row[2].custom["stacking"]["mode"] != "none"]
    single = [row for row in drawn if row not in stack]
    pile = stacked(stack, mode == "percent")
    left_values = [edge[2] for _, edges, style in pile for edge in edges if not style.right]
    left_values += [value for _, points, style in single if not style.right for _, value in points]
    right = [row for row in single if row[2].right]
    low, high = bounds(defaults, left_values, mode, [value for _, value in exemplars])
    marked = ticks(low, high, max(2, round((height - bottom - 30) / 42)))
    gutter = 12 + max(width(unit(mark, defaults.get("unit")), 11) for mark in marked)
    plot = Plot(out, source, left + gutter, top + 4, breadth - gutter - (62 if right else 8), height - bottom - 30)
    plot.time_axis()
    plot.value_axis(low, high, defaults.get("unit", "none"), defaults.get("decimals"))
    gap = source.stride(panel) * 1.6
    for name, edges, style in reversed(pile):
        draw_stack(plot, edges, style, low, high, gap)
    seen = [value for _, points, _ in right for _, value in points if not math.isnan(value)]
    ceiling = max(seen + [1e-9]) * 1.1
    for name, points, style in single:
        draw_line(plot, points, style, *((0, ceiling) if style.right else (low, high)), gap)
    if right:
        plot.value_axis(0, ceiling, right[0][2].unit, None, right=True)
    if defaults["custom"]["thresholdsStyle"]["mode"] != "off":
        for step in defaults["thresholds"]["steps"][1:]:
            if low <= step["value"] <= high:
                y = plot.y(step["value"], low, high)
                out.line(plot.left, y, plot.left + plot.width, y, color(step["color"]), 1.4, "8 6")
    for at, value in exemplars:
        if low <= value <= high:
            out.diamond(plot.x(at), plot.y(value, low, high), 3.2, "#8AB8FF")
    annotate(plot, marks)


def bounds(defaults, values, mode, exemplars):
    values = [value for value in values if not math.isnan(value)] or [0]
    low, high = defaults.get("min", min(values)), max(values)
    if mode == "percent":
        return 0, 1
    high = max(high, sorted(exemplars)[int(len(exemplars) * 0.97)] if exemplars else high)
    if "max" in defaults and "min" in defaults:
        return low, defaults["max"]
    if "min" not in defaults:
        low -= (high - low) * 0.08 or 0.01
    high += (high - low) * 0.08
    return low, min(high, defaults.get("max", high)) if high > low else low + 1


def draw_stack(plot, edges, style, low, high, gap):
    opacity = style.custom["fillOpacity"] / 100
    if style.custom["drawStyle"] == "bars":
        breadth = max(1.2, gap / 1.6 / (plot.source.end - plot.source.start) * plot.width * 0.8)
        for at, lower, upper in edges:
            end = plot.x(at) + breadth / 2 * (1 + style.custom.get("barAlignment", 0))
            begin = end - breadth
            begin, end = max(begin, plot.left), min(end, plot.left + plot.width)
            if upper > lower:
                y = plot.y(upper, low, high)
                plot.out.rect(begin, y, end - begin, plot.y(lower, low, high) - y, style.color, 0, opacity)
        return
    for run in split(edges, gap):
        upper = [(plot.x(at), plot.y(value, low, high)) for at, _, value in run]
        lower = [(plot.x(at), plot.y(value, low, high)) for at, value, _ in reversed(run)]
        plot.out.polygon(upper + lower, style.color, opacity)
        if style.custom["lineWidth"]:
            plot.out.path(upper, style.color, 1.3)


def draw_line(plot, points, style, low, high, gap):
    dash = "7 5" if style.custom.get("lineStyle", {}).get("fill") == "dash" else None
    for run in split(points, gap):
        line = [(plot.x(at), plot.y(value, low, high)) for at, value in run]
        if len(line) == 1:
            plot.out.circle(*line[0], 2, style.color)
            continue
        opacity = style.custom["fillOpacity"] / 100
        if opacity:
            foot = plot.top + plot.height
            plot.out.polygon(line + [(line[-1][0], foot), (line[0][0], foot)], style.color, opacity)
        plot.out.path(line, style.color, 1.4, dash)


def annotate(plot, marks):
    for at, name in marks:
        x, foot = plot.x(at), plot.top + plot.height
        plot.out.line(x, plot.top, x, foot, color(name), 1, "3 3", 0.75)
        plot.out.polygon([(x - 4, foot + 5), (x + 4, foot + 5), (x, foot)], color(name), 1)


def timeline(out, panel, source, rows, marks, box):
    left, top, breadth, height = box
    defaults = panel["fieldConfig"]["defaults"]
    mappings = defaults["mappings"]
    seen = {value for _, points in rows for _, value in points}
    entries = [mapped(value, mappings) for value in sorted(seen)]
    x = left
    for text, fill in [entry for entry in entries if entry and entry[1] != "none"]:
        out.rect(x + 2, top + height - 12, 14, 4, fill, 2)
        out.text(x + 21, top + height - 6, text, 11, TEXT)
        x += width(text, 11) + 36
    gutter = 14 + max(width(name, 11) for name, _ in rows)
    plot = Plot(out, source, left + gutter, top + 2, breadth - gutter - 8, height - 44)
    plot.time_axis()
    each = plot.height / len(rows)
    for index, (name, points) in enumerate(rows):
        y = plot.top + each * index + each * 0.075
        out.text(plot.left - 8, y + each * 0.425 + 4, name, 11, TEXT, "end")
        begin = 0
        for place in range(1, len(points) + 1):
            if place < len(points) and points[place][1] == points[begin][1]:
                continue
            until = points[place][0] if place < len(points) else source.end
            text, fill = mapped(points[begin][1], mappings) or ("", TEXT)
            a, b = plot.x(points[begin][0]), plot.x(until)
            if fill != "none":
                out.rect(a, y, b - a, each * 0.85, fill, 0, 0.85)
                fits = panel["options"]["showValue"] != "never" and width(text, 11) + 10 < b - a
                if fits and each > 13:
                    out.text(a + 6, y + each * 0.425 + 4, text, 11, "#111217", "start", 500)
            begin = place
    annotate(plot, marks)


def heatmap(out, panel, source, rows, box):
    left, top, breadth, height = box
    counts, bounds, below = [], [], {}
    for name, points in sorted(rows, key=lambda row: float(row[0])):
        now = dict(points)
        counts.append({at: max(value - below.get(at, 0), 0) for at, value in now.items()})
        bounds.append(name)
        below = now
    most = max([value for bucket in counts for value in bucket.values()] + [1e-9])
    used = [index for index, bucket in enumerate(counts) if any(bucket.values())]
    first, last = max(min(used) - 1, 0), min(max(used) + 2, len(counts))
    plot = Plot(out, source, left + 62, top + 4, breadth - 70, height - 34)
    plot.time_axis()
    each = plot.height / (last - first)
    cell = source.step / (source.end - source.start) * plot.width
    for row, index in enumerate(range(first, last)):
        y = plot.top + plot.height - each * (row + 1)
        label = "+Inf" if bounds[index] == "+Inf" else unit(float(bounds[index]), "s")
        out.text(plot.left - 6, y + 4, label, 11, FAINT, "end")
        for at, value in counts[index].items():
            if value > 1e-9:
                fill = turbo(0.12 + 0.88 * (value / most) ** 0.5)
                out.rect(plot.x(at) - cell, y + 0.5, max(cell - 0.5, 0.8), each - 1, fill, 0)
