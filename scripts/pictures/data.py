"""What a panel shows: its own queries, variables put in as Grafana does with everything chosen."""
import json
import re
import urllib.parse
import urllib.request

SCRAPE = 2


class Source:
    """A Prometheus, and the time to look at."""

    def __init__(self, url, start, end, chosen):
        self.url, self.start, self.end, self.chosen = url, start, end, chosen
        self.step = max(SCRAPE, round((end - start) / 280))

    def get(self, path, **query):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
            return json.load(answer)["data"]

    def stride(self, panel):
        """The step of a panel: no closer than its own least interval."""
        return max(self.step, int(panel.get("interval", "0m")[:-1]) * 60)

    def expr(self, target, panel):
        window = panel.get("timeFrom") or f"{round(self.end - self.start)}s"
        rate = f"{max(self.stride(panel) + SCRAPE, 4 * SCRAPE)}s"
        expr = target["expr"].replace("$__rate_interval", rate).replace("$__range", window)
        for name in ("job", "instance", "set", "destination"):
            expr = expr.replace(f"${name}", self.chosen.get(name, ".+"))
        return expr

    def instant(self, target, panel):
        result = self.get("query", query=self.expr(target, panel), time=self.end)["result"]
        return [(row["metric"], float(row["value"][1])) for row in result]

    def range(self, target, panel):
        result = self.get("query_range", query=self.expr(target, panel), start=self.start, end=self.end,
                          step=self.stride(panel))["result"]
        return [(row["metric"], [(at, float(value)) for at, value in row["values"]]) for row in result]

    def exemplars(self, target, panel):
        found = self.get("query_exemplars", query=self.expr(target, panel), start=self.start, end=self.end)
        return [(float(point["timestamp"]), float(point["value"])) for row in found for point in row["exemplars"]]


def legend(target, labels):
    text = target.get("legendFormat", "")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), text)


def series(source, panel):
    """Name and points of each series over time."""
    found = []
    for target in panel["targets"]:
        rows = source.range(target, panel)
        found += [(legend(target, labels), points) for labels, points in rows]
    return found


def numbers(source, panel):
    """Name and value of each series, of the moment; with its course if the query has one."""
    found = []
    for target in panel["targets"]:
        if target["instant"]:
            found += [(legend(target, labels), value, []) for labels, value in source.instant(target, panel)]
        else:
            rows = source.range(target, panel)
            found += [(legend(target, labels), points[-1][1], points) for labels, points in rows]
    return found


def rows(source, panel):
    """The table after `merge` and `organize`: names of columns, and cells by name."""
    organize = panel["transformations"][1]["options"]
    single = len(panel["targets"]) == 1
    merged = {}
    for target in panel["targets"]:
        value = "Value" if single else f"Value #{target['refId']}"
        for labels, number in source.instant(target, panel):
            fitting = [row for row in merged.values()
                       if all(row[name] == text for name, text in labels.items() if name in row)]
            if not fitting or target is panel["targets"][0]:
                row = merged.setdefault(json.dumps(labels, sort_keys=True), {})
                fitting = [row]
            for row in fitting:
                row.update(labels)
                row[value] = number
    shown = [name for name in organize["indexByName"] if name not in organize["excludeByName"]]
    shown.sort(key=organize["indexByName"].get)
    others = sorted({name for row in merged.values() for name in row} - set(shown) - set(organize["excludeByName"]))
    shown += others
    renamed = organize["renameByName"]
    table = [{renamed.get(name, name): row.get(name) for name in shown} for row in merged.values()]
    return [renamed.get(name, name) for name in shown], table


def annotations(source, dashboard):
    """When something happened: time and colour, one for each edge."""
    found = []
    for annotation in dashboard["annotations"]["list"]:
        if annotation["name"] == "Alerts":
            continue
        for _, points in source.range(annotation, {}):
            last = 0
            for at, _ in points:
                if at - last > 70:
                    found.append((at, annotation["iconColor"]))
                last = at
    return found
