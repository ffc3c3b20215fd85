#!/usr/bin/env python3
"""Draws loss and world size over time of a real run, as an SVG without any library.

usage: hack/plot_run.py --steps STATE/checkpoints/steps.jsonl --audit AUDIT.jsonl --status RUN.json --out PICTURE.svg

AUDIT is what `muster run --audit` wrote (when each step was committed), RUN.json what `--output json` printed
(which rescales there were, and why).
"""

import argparse
import datetime
import json

WIDTH, LEFT, RIGHT = 860, 64, 20
LOSS_TOP, LOSS_BOTTOM = 46, 250
SIZE_TOP, SIZE_BOTTOM = 292, 372
INK, GRID, LOSS, SIZE, MARK = "#24292f", "#d8dee4", "#0969da", "#1a7f37", "#cf222e"


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def seconds(text):
    """An RFC 3339 time, or a number of seconds, as seconds."""
    if isinstance(text, (int, float)):
        return float(text)
    head, _, fraction = text.rstrip("Z").partition(".")
    whole = datetime.datetime.strptime(head + "+0000", "%Y-%m-%dT%H:%M:%S%z").timestamp()
    return whole + (float("0." + fraction) if fraction else 0.0)


def text(x, y, words, anchor="start", size=12, color=INK, extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{color}" {extra}>{words}</text>')


def line(x1, y1, x2, y2, color, width=1.0, dash=""):
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
            f'stroke-width="{width}"{dashed}/>')


def path(points, color):
    steps = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(points))
    return f'<path d="{steps}" fill="none" stroke="{color}" stroke-width="2"/>'


def loss_panel(points, x_of, top_loss):
    low = min(loss for _, loss, _ in points)
    floor = max(0.0, low - 0.3)

    def y_of(loss):
        return LOSS_BOTTOM - (loss - floor) / (top_loss - floor) * (LOSS_BOTTOM - LOSS_TOP)

    out = [text(LEFT, LOSS_TOP - 12, "training loss, nats per byte", color=LOSS)]
    for tick in range(int(floor) + 1, int(top_loss) + 1):
        out += [line(LEFT, y_of(tick), WIDTH - RIGHT, y_of(tick), GRID),
                text(LEFT - 8, y_of(tick) + 4, str(tick), "end")]
    out.append(path([(x_of(t), y_of(loss)) for t, loss, _ in points], LOSS))
    return out


def size_panel(points, x_of):
    most = max(members for _, _, members in points)

    def y_of(members):
        return SIZE_BOTTOM - members / most * (SIZE_BOTTOM - SIZE_TOP)

    out = [text(LEFT, SIZE_TOP - 10, "members", color=SIZE)]
    for tick in range(0, most + 1):
        out += [line(LEFT, y_of(tick), WIDTH - RIGHT, y_of(tick), GRID),
                text(LEFT - 8, y_of(tick) + 4, str(tick), "end")]
    stairs = []
    for t, _, members in points:
        if stairs:
            stairs.append((x_of(t), stairs[-1][1]))
        stairs.append((x_of(t), y_of(members)))
    out.append(path(stairs, SIZE))
    return out


def marks(rescales, begin, x_of):
    out = []
    for i, rescale in enumerate(rescales):
        if rescale["cause"] == "FirstView":
            continue
        x = x_of(seconds(rescale["time"]) - begin)
        words = f'{rescale["cause"]} {rescale["from"]}→{rescale["to"]}'
        if rescale["to"] < rescale["from"]:  # what the survivors lost, detection included
            words += f', {float(rescale.get("stallSeconds", 0)) * 1000:.0f} ms'
        y = LOSS_TOP + 14 + 16 * (i % 5)
        out += [line(x, LOSS_TOP, x, SIZE_BOTTOM, MARK, 1.0, "4 3"),
                text(x + 5, y, words, size=11, color=MARK)]
    return out


def draw(points, rescales, begin):
    last = points[-1][0]

    def x_of(t):
        return LEFT + t / last * (WIDTH - LEFT - RIGHT)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 412" '
           'font-family="Helvetica, Arial, sans-serif">', '<rect width="860" height="412" fill="white"/>']
    out += loss_panel(points, x_of, max(loss for _, loss, _ in points))
    out += size_panel(points, x_of)
    out += marks(rescales, begin, x_of)
    tick = max(1, round(last / 8 / 5) * 5)
    for t in range(0, int(last) + 1, tick):
        out.append(text(x_of(t), SIZE_BOTTOM + 18, f"{t} s", "middle"))
    return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("steps", "audit", "status", "out"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    when = {row["step"]: seconds(row["time"]) for row in read_lines(options.audit) if "step" in row}
    rows = [row for row in read_lines(options.steps) if row["step"] in when]
    begin = min(when.values())
    points = [(when[row["step"]] - begin, row["loss"], row["members"]) for row in rows]
    with open(options.status, encoding="utf-8") as document:
        rescales = json.load(document)["status"]["rescales"]
    with open(options.out, "w", encoding="utf-8") as out:
        out.write(draw(points, rescales, begin))


if __name__ == "__main__":
    main()
