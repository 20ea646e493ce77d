"""Panels of the moment: numbers, dials, tables."""
import math

from look import CANVAS, FAINT, GRID, TEXT, color, mapped, threshold, unit, width


def face(panel, value):
    """Text and colour of a value."""
    defaults = panel["fieldConfig"]["defaults"]
    found = mapped(value, defaults["mappings"])
    if found:
        return found
    fill = threshold(value, defaults["thresholds"]["steps"])
    return unit(value, defaults.get("unit", "none"), defaults.get("decimals")), fill


def stat(out, panel, rows, box):
    left, top, breadth, height = box
    if not rows:
        text = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        return out.text(left + breadth / 2, top + height / 2 + 8, text, 20, FAINT, "middle")
    wide = breadth / height > 2.2 or len(rows) < 3
    count = len(rows)
    for index, (name, value, course) in enumerate(rows):
        text, fill = face(panel, value)
        w, h = (breadth / count, height) if wide else (breadth, height / count)
        x, y = (left + w * index, top) if wide else (left, top + h * index)
        ink = fill
        if panel["options"]["colorMode"] == "background":
            out.rect(x + 2, y + 2, w - 4, h - 4, fill, 2, 0.92)
            ink = CANVAS
        if course and panel["options"]["graphMode"] == "area":
            sparkline(out, course, fill, x, y + h * 0.55, w, h * 0.45)
        named = count > 1
        size = min(46, h * (0.48 if named else 0.6), 26 * (w - 20) / max(width(text, 26), 1))
        middle = y + h / 2 + size * (0.55 if named else 0.36)
        out.text(x + w / 2, middle, text, size, ink, "middle", 500)
        if named:
            out.text(x + w / 2, middle - size * 1.02, name, min(13, h * 0.22), ink if ink == CANVAS else TEXT, "middle")


def sparkline(out, course, fill, x, y, w, h):
    values = [value for _, value in course if not math.isnan(value)]
    high = max(values + [1e-9])
    points = [(x + w * index / max(len(values) - 1, 1), y + h * (1 - value / high)) for index, value in enumerate(values)]
    out.polygon(points + [(x + w, y + h), (x, y + h)], fill, 0.18)
    out.path(points, fill, 1.3)


def gauge(out, panel, rows, box):
    left, top, breadth, height = box
    defaults = panel["fieldConfig"]["defaults"]
    if not rows:
        return out.text(left + breadth / 2, top + height / 2 + 8, defaults.get("noValue", "No data"), 20, FAINT, "middle")
    for index, (name, value, _) in enumerate(rows):
        w = breadth / len(rows)
        cx, radius = left + w * (index + 0.5), min(w / 2 - 10, height * 0.56)
        cy = top + radius + 6
        low, high = defaults["min"], defaults["max"]
        share = min(max((value - low) / (high - low), 0), 1)
        text, fill = face(panel, value)
        out.arc(cx, cy, radius - 6, 0, 1, GRID, radius * 0.24)
        if share > 0:
            out.arc(cx, cy, radius - 6, 0, share, fill, radius * 0.24)
        steps = defaults["thresholds"]["steps"]
        edges = [low] + [step["value"] for step in steps[1:]] + [high]
        for step, begin, until in zip(steps, edges, edges[1:]):
            out.arc(cx, cy, radius + radius * 0.12 - 2, (begin - low) / (high - low), (until - low) / (high - low),
                    color(step["color"]), 3)
        size = min(radius * 0.42, 30)
        out.text(cx, cy + size * 0.2, text, size, fill, "middle", 500)
        if len(rows) > 1:
            out.text(cx, cy + size * 1.5, name, 12, TEXT, "middle")


class Column:
    """How one column is drawn."""

    def __init__(self, panel, name):
        defaults = panel["fieldConfig"]["defaults"]
        self.name, self.unit, self.decimals = name, defaults.get("unit", "none"), None
        self.cells, self.mappings, self.steps, self.linked, self.width = "auto", [], None, False, None
        for rule in panel["fieldConfig"]["overrides"]:
            if rule["matcher"]["options"] != name:
                continue
            for found in rule["properties"]:
                key, value = found["id"], found["value"]
                if key == "unit":
                    self.unit = value
                elif key == "decimals":
                    self.decimals = value
                elif key == "mappings":
                    self.mappings = value
                elif key == "thresholds":
                    self.steps = value["steps"]
                elif key == "links":
                    self.linked = True
                elif key == "custom.cellOptions":
                    self.cells = value["type"]
                elif key == "custom.width":
                    self.width = value

    def text(self, value):
        if value is None:
            return ""
        found = mapped(value, self.mappings)
        if found:
            return found[0]
        return value if isinstance(value, str) else unit(value, self.unit, self.decimals)


def table(out, panel, names, rows, box):
    left, top, breadth, height = box
    if not rows:
        text = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        return out.text(left + breadth / 2, top + height / 2, text, 13, FAINT, "middle")
    sort = panel["options"].get("sortBy")
    if sort:
        rows.sort(key=lambda row: row.get(sort[0]["displayName"]) or 0, reverse=sort[0]["desc"])
    columns = [Column(panel, name) for name in names if any(row.get(name) is not None for row in rows)]
    needs = [max([width(column.name, 12)] + [width(column.text(row.get(column.name)), 12) for row in rows]) + 22
             for column in columns]
    spare = max(0, breadth - sum(needs)) / len(columns)
    shrink = min(1, breadth / sum(needs))
    x = left
    for column, need in zip(columns, needs):
        w = need * shrink + spare
        right = column.unit != "none" or any(isinstance(row.get(column.name), float) for row in rows)
        anchor, at = ("end", x + w - 8) if right else ("start", x + 8)
        out.text(at, top + 20, column.name, 12, "#6e9fff", anchor, 500)
        for index, row in enumerate(rows[:int((height - 30) // 30)]):
            y = top + 30 + 30 * index
            out.line(x, y, x + w, y, GRID)
            value = row.get(column.name)
            ink, found = TEXT, mapped(value, column.mappings)
            if column.cells == "color-background" and found:
                out.rect(x + 1, y + 1, w - 2, 28, found[1], 0, 0.9)
                ink = CANVAS
            elif column.cells == "color-text" and column.steps and isinstance(value, float):
                ink = threshold(value, column.steps)
            elif column.cells == "gauge" and isinstance(value, float):
                most = max(row.get(column.name) or 0 for row in rows)
                out.rect(x + 6, y + 6, (w - 70) * value / most, 18, "#73BF69", 2, 0.7)
            elif column.linked:
                ink = "#6e9fff"
            out.text(at, y + 20, column.text(value), 12, ink, anchor)
        x += w
