"""The few shapes of SVG that the charts are made of, and colours for light and dark pages.

A chart has a ground of its own, so that it can be read on any page, and follows the reader's light or
dark theme by a media query. Widths of text are estimated, generously, from the number of characters:
nothing is measured, so no font is needed."""

from xml.sax.saxutils import escape

STYLE = """
  svg { --ground: #ffffff; --text: #1f2328; --faint: #59636e; --line: #d1d9e0; --ours: #0a6e5c;
        --theirs: #9aa7b4; --mark: #b3541e; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #0d1117; --text: #f0f6fc; --faint: #9198a1; --line: #3d444d; --ours: #35c3a2;
          --theirs: #5b6673; --mark: #f0a35e; }
  }
  text { font-family: -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif;
         fill: var(--text); font-size: 12px; }
  .ground { fill: var(--ground); } .faint { fill: var(--faint); } .ours { fill: var(--ours); }
  .theirs { fill: var(--theirs); } .strong { font-weight: 600; } .title { font-size: 15px; font-weight: 600; }
  .line { stroke: var(--line); stroke-width: 1; } .fit { stroke: var(--mark); stroke-width: 1.5; }
""".strip('\n')
# Renderers without custom properties and media queries get the light colours as plain values.
LIGHT = {'ground': '#ffffff', 'text': '#1f2328', 'faint': '#59636e', 'line': '#d1d9e0', 'ours': '#0a6e5c',
         'theirs': '#9aa7b4', 'mark': '#b3541e'}
DARK = {'ground': '#0d1117', 'text': '#f0f6fc', 'faint': '#9198a1', 'line': '#3d444d', 'ours': '#35c3a2',
        'theirs': '#5b6673', 'mark': '#f0a35e'}
CHARACTER = 0.62    # of the size of the font: wider than a sans-serif's mean, so an estimate errs on wide


def text_width(text, size=12):
    return len(text) * size * CHARACTER


class Drawing:
    def __init__(self, width, title):
        self.width, self.title, self.parts = width, title, []

    def text(self, x, y, said, kind='', anchor='start'):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
                          f'{escape(said)}</text>')

    def bar(self, x, y, width, height, kind):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
                          f'height="{height}" rx="2" class="{kind}"/>')

    def line(self, x1, y1, x2, y2, kind='line'):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'class="{kind}"/>')

    def dot(self, x, y, kind='ours'):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"/>')

    def finish(self, height, theme='auto'):
        """The document. theme: auto follows the reader; light and dark have their colours written out,
        for renderers that know neither media queries nor custom properties."""
        style = STYLE
        if theme != 'auto':
            style = '  text {' + style.split('  text {', 1)[1]
            for name, colour in (LIGHT if theme == 'light' else DARK).items():
                style = style.replace(f'var(--{name})', colour)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height:.0f}" '
                f'width="{self.width}" height="{height:.0f}" role="img">\n'
                f'<title>{escape(self.title)}</title>\n<style>\n{style}\n</style>\n'
                f'<rect width="100%" height="100%" rx="6" class="ground"/>\n'
                + '\n'.join(self.parts) + '\n</svg>\n')
