"""Draws rows of the dashboards from a Prometheus, by the JSON that Grafana gets.

    draw.py PROMETHEUS WORK      # WORK/story.json says which time
"""
import json
import math
import pathlib
import subprocess
import sys

import data
import graph
import number
from look import CANVAS, EDGE, FAINT, FONT, PANEL, TEXT, escape

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTH, CELL, GAP = 1280, 30, 8
# Name of the picture, dashboard, rows of it, what is chosen.
PICTURES = [
    ("fleet", "sipwarden-overview", ["Now", "Destinations"], {}),
    ("traffic", "sipwarden-overview", ["Traffic"], {}),
    ("destination", "sipwarden-destination", ["State", "Probes"], {"set": "pbx", "destination": "pbx-2"}),
    ("calls", "sipwarden-signalling", ["Requests", "Calls (RFC 6076)"], {}),
]


class Svg:
    """Shapes, as text."""

    def __init__(self):
        self.parts = []

    def rect(self, x, y, w, h, fill, radius=0, opacity=1, stroke=None):
        edge = f' stroke="{stroke}"' if stroke else ""
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" '
                          f'rx="{radius}" fill="{fill}" fill-opacity="{opacity}"{edge}/>')

    def line(self, x, y, x2, y2, stroke, width=1, dash=None, opacity=1):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<path d="M{x:.1f} {y:.1f}L{x2:.1f} {y2:.1f}" stroke="{stroke}" '
                          f'stroke-width="{width}" stroke-opacity="{opacity}"{dashes}/>')

    def path(self, points, stroke, width, dash=None):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        way = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(f'<path d="M{way}" fill="none" stroke="{stroke}" stroke-width="{width}" '
                          f'stroke-linejoin="round"{dashes}/>')

    def polygon(self, points, fill, opacity):
        way = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(f'<path d="M{way}Z" fill="{fill}" fill-opacity="{opacity}"/>')

    def circle(self, x, y, radius, fill):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}"/>')

    def diamond(self, x, y, size, fill):
        self.polygon([(x, y - size), (x + size, y), (x, y + size), (x - size, y)], fill, 0.85)

    def arc(self, cx, cy, radius, begin, until, stroke, width):
        """A part of a dial that is open below; 0 is its left end, 1 its right."""
        point = lambda share: (cx + radius * math.cos(math.radians(160 + 220 * share)),
                               cy + radius * math.sin(math.radians(160 + 220 * share)))
        (x, y), (x2, y2) = point(begin), point(until)
        large = 1 if 220 * (until - begin) > 180 else 0
        self.parts.append(f'<path d="M{x:.1f} {y:.1f}A{radius:.1f} {radius:.1f} 0 {large} 1 {x2:.1f} {y2:.1f}" '
                          f'fill="none" stroke="{stroke}" stroke-width="{width:.1f}"/>')

    def text(self, x, y, text, size, fill, anchor="start", weight=400):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" fill="{fill}" '
                          f'text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>')

    def document(self, width, height):
        body = "\n".join(self.parts)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" font-family="{FONT}" fill="none">\n{body}\n</svg>\n')


def panel(out, one, source, box, marks):
    x, y, w, h = box
    out.rect(x + 0.5, y + 0.5, w - 1, h - 1, PANEL, 3, 1, EDGE)
    out.text(x + 12, y + 22, one["title"], 14, TEXT, "start", 500)
    inner = (x + 8, y + 34, w - 16, h - 42)
    kind = one["type"]
    if kind == "stat":
        number.stat(out, one, data.numbers(source, one), inner)
    elif kind == "gauge":
        number.gauge(out, one, data.numbers(source, one), inner)
    elif kind == "table":
        number.table(out, one, *data.rows(source, one), inner)
    elif kind == "state-timeline":
        graph.timeline(out, one, source, data.series(source, one), marks, inner)
    elif kind == "heatmap":
        graph.heatmap(out, one, source, data.series(source, one), inner)
    else:
        points = [found for target in one["targets"] if target.get("exemplar") for found in source.exemplars(target, one)]
        graph.timeseries(out, one, source, data.series(source, one), marks, sorted(set(points)), inner)


def picture(url, story, uid, rows, chosen):
    dashboard = json.loads((ROOT / f"dashboards/{uid}.json").read_text())
    source = data.Source(url, story["start"], story["end"], chosen)
    marks = data.annotations(source, dashboard)
    out, heading, shown = Svg(), None, []
    for one in dashboard["panels"]:
        if one["type"] == "row":
            heading = one["title"]
        if heading in rows:
            shown.append(one)
    top = min(one["gridPos"]["y"] for one in shown)
    column = (WIDTH - GAP) / 24
    bottom = 0
    for one in shown:
        place = one["gridPos"]
        x, y = GAP / 2 + place["x"] * column, 44 + (place["y"] - top) * (CELL + GAP)
        w, h = place["w"] * column - GAP, place["h"] * (CELL + GAP) - GAP
        bottom = max(bottom, y + h)
        if one["type"] == "row":
            out.text(x + GAP / 2 + 2, y + 21, f"⌄  {one['title']}", 15, TEXT, "start", 500)
        else:
            panel(out, one, source, (x + GAP / 2, y, w, h), marks)
    height = round(bottom + GAP)
    back = Svg()
    back.rect(0, 0, WIDTH, height, CANVAS)
    back.text(14, 29, f"SIP  ›  {dashboard['title']}", 15, TEXT, "start", 500)
    where = ", ".join(f"{name} = {value}" for name, value in chosen.items()) or "all sets, all destinations"
    back.text(WIDTH - 12, 29, where, 12, FAINT, "end")
    back.parts += out.parts
    return back.document(WIDTH, height)


def main(url, work):
    work = pathlib.Path(work)
    story = json.loads((work / "story.json").read_text())
    for name, uid, rows, chosen in PICTURES:
        file = work / f"{name}.svg"
        file.write_text(picture(url, story, uid, rows, chosen))
        subprocess.run(["rsvg-convert", "-z", "1.5", "-o", work / f"{name}.png", file], check=True)
        print(f"{file.with_suffix('.png')}: {file.with_suffix('.png').stat().st_size // 1024} KiB", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
