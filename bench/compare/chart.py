#!/usr/bin/env python3
"""Draws the comparison: documents/s as bars, a panel for each corpus, in it a group for each precision.

    chart.py RESULTS.json OUT.svg [auto|light|dark]

Each panel has its own scale, from zero. A program without a figure is not drawn; the table says why. A
figure of which a run was disturbed by other work on the machine carries a ~, as in the table."""

import json
import sys
from pathlib import Path

import svg

WIDTH, MARGIN, GAP = 920, 20, 28
ROW, BAR, GROUP_HEAD, PANEL_HEAD = 19, 12, 22, 24
LABEL, VALUE = 148, 54      # columns of a panel beside its bars
PRECISIONS = ('fp32', 'bf16', 'int8')


def groups(results, corpus):
    """[(precision, [(name, documents/s, quiet)])] of one corpus, vecmill first, then the faster first."""
    found = []
    for precision in PRECISIONS:
        rows = [(row['name'], row['documents_per_second']['median'], row['quiet'])
                for row in results['rows']
                if row['corpus'] == corpus and row['precision'] == precision
                and row['documents_per_second']]
        if rows:
            found.append((precision, sorted(rows, key=lambda row: (row[0] != 'vecmill', -row[1]))))
    return found


def height_of(panel):
    return PANEL_HEAD + sum(GROUP_HEAD + ROW * len(rows) for _, rows in panel)


def rate_text(rate):
    return f'{rate:.1f}' if rate < 100 else f'{rate:,.0f}'


def draw_panel(drawing, panel, title, x, y, width):
    most = max(rate for _, rows in panel for _, rate, _ in rows)
    room = width - LABEL - VALUE
    drawing.text(x, y + 14, title, 'strong')
    y += PANEL_HEAD
    for precision, rows in panel:
        drawing.text(x, y + 14, precision, 'faint strong')
        drawing.line(x + 36, y + 10, x + width, y + 10)
        y += GROUP_HEAD
        for name, rate, quiet in rows:
            ours = name == 'vecmill'
            drawing.text(x + LABEL - 6, y + 12, name, 'strong' if ours else '', 'end')
            drawing.bar(x + LABEL, y + 2, room * rate / most, BAR, 'ours' if ours else 'theirs')
            drawing.text(x + LABEL + room * rate / most + 5, y + 12,
                         rate_text(rate) if quiet else f'~{rate_text(rate)}',
                         'strong' if ours else 'faint')
            y += ROW


def caption(results):
    said = (f'{results["threads"]} processors of {results["machine"]["processor"]}; medians of '
            f'{results["rounds"]} rounds in turn; settings: the best found for each, but where named')
    return said if all(row['quiet'] for row in results['rows']) else f'{said}; ~: disturbed'


def bars(results, theme='auto'):
    """The chart as SVG; results as in the JSON."""
    drawing = svg.Drawing(WIDTH, f'Documents per second, {results["model"]}')
    drawing.text(MARGIN, 28, f'Documents per second, {results["model"]} (longer is better)', 'title')
    drawing.text(MARGIN, 46, caption(results), 'faint')
    panels = []
    for name, facts in results['corpora'].items():
        panel = groups(results, name)
        if panel:
            panels.append((f'{name}, {facts["mean"]:.0f} tokens in the mean', panel))
    width = (WIDTH - 2 * MARGIN - GAP) / 2
    y = 64
    for first in range(0, len(panels), 2):
        pair = panels[first:first + 2]
        for i, (title, panel) in enumerate(pair):
            draw_panel(drawing, panel, title, MARGIN + i * (width + GAP), y, width)
        y += max(height_of(panel) for _, panel in pair) + 16
    return drawing.finish(y + 4, theme)


def main():
    results = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(bars(results, *sys.argv[3:4]))


if __name__ == '__main__':
    main()
