"""The style of the page, light and dark. No font or file is fetched."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f7f8fa; --edge: #dfe3e8; --ink: #1c2128; --soft: #5b6572; --grid: #d9dee4;
  --good: #1a7f4b; --bad: #b3382c;
  --t0: #0b67c2; --t1: #b4600a; --t2: #2e8540; --t3: #8a4fbf; --t4: #b83280; --t5: #0f7f86; --t6: #7a6a1f;
  --ref: #7b8694;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --card: #1b2027; --edge: #303842; --ink: #e5e9ee; --soft: #9ba6b3; --grid: #333c47;
    --good: #55c98a; --bad: #f0867a;
    --t0: #58a6ff; --t1: #eda24d; --t2: #6cc07d; --t3: #bf94ee; --t4: #ee80bb; --t5: #4fc1c7; --t6: #cdb955;
    --ref: #8d98a5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 1160px; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .3rem; padding-top: 1rem; border-top: 1px solid var(--edge); }
h3 { font-size: 1.02rem; margin: 1.8rem 0 .6rem; }
h4 { font-size: .95rem; margin: 0; }
p { max-width: 76ch; margin: .5rem 0; }
.soft, figcaption { color: var(--soft); }
.note { background: var(--card); border-left: 3px solid var(--t0); padding: .6rem 1rem; max-width: none; }
a { color: var(--t0); }
nav a { margin-right: 1.1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 500px), 1fr)); gap: 1rem; }
figure {
  margin: 0; padding: .85rem 1rem .6rem;
  background: var(--card); border: 1px solid var(--edge); border-radius: 8px;
}
figcaption { font-size: .83rem; margin: 0 0 .55rem; min-height: 1.3em; }
svg { display: block; width: 100%; height: auto; font: 12.5px system-ui, "DejaVu Sans", sans-serif; }
svg text { fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: 11px; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; } svg .own { font-weight: 650; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; } svg .line.t0 { stroke-width: 3; }
svg .leader { fill: none; stroke-width: .8; opacity: .55; }
svg .bar { opacity: .92; }
svg .bar.ref { fill: none; stroke: var(--ref); stroke-width: 1.4; stroke-dasharray: 4 2.5; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .7rem; border-bottom: 1px solid var(--edge); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; white-space: nowrap; }
tr.first td { border-top: 2px solid var(--edge); } tr.first td { font-weight: 600; }
td.about { color: var(--soft); font-weight: 400; min-width: 15rem; }
.met { color: var(--good); font-weight: 650; } .missed { color: var(--bad); font-weight: 650; }
details { margin-top: 1.2rem; } summary { cursor: pointer; color: var(--t0); }
""" + "".join(
    f"svg .bar.t{n}, svg .dot.t{n}, svg text.t{n} {{ fill: var(--t{n}); }} "
    f"svg .line.t{n}, svg .leader.t{n} {{ stroke: var(--t{n}); }}\n"
    for n in range(7)
)
