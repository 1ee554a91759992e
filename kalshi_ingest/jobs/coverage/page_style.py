"""The style sheet of the page of `coverage`."""

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--text:#1d2125;--soft:#5b636b;--line:#e2dfd9;--well:#f2f0ec;
--good:#1f7a4d;--bad:#b3261e;--c:#5aa883;--w:#e0a526;--h:#c4352b;--o:#3b78c4;--n:#8a9096;--ink-w:#3a2a00;--ink-h:#fff}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--text:#e6e8ea;--soft:#a3abb3;--line:#30363c;
--well:#23282d;--good:#63c796;--bad:#ff8a80;--c:#3f8a66;--w:#d9a431;--h:#e5564a;--o:#6ea8ee;--n:#7b838b;--ink-h:#fff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main{max-width:1180px;margin:0 auto;padding:0 20px}
header{padding-top:32px}
header p{color:var(--soft);margin:.4em 0}
.label{font-size:.8rem;letter-spacing:.02em}
h1{font-size:clamp(1.3rem,3.6vw,1.9rem);line-height:1.25;margin:.2em 0;text-wrap:balance}
.good .mark{color:var(--good)}.bad .mark{color:var(--bad)}
h2{font-size:1.1rem;margin:36px 0 12px}
h3{font-size:1rem;margin:0 0 8px;display:flex;flex-wrap:wrap;align-items:baseline;gap:0 8px}
.ticker,.said{font-weight:400;color:var(--soft);font-size:.85rem}
.said{margin-left:auto}
.count{font-weight:400;color:var(--soft);font-size:.85em;margin-left:.3em}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;list-style:none;padding:0;margin:0 0 14px;font-size:.9rem}
.legend svg{width:15px;height:15px;vertical-align:-2px;margin-right:6px}
.cities{display:grid;gap:16px}
.small{grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr))}
article{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.years{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:12px 24px}
figure{margin:0;max-width:440px}figcaption{font-size:.8rem;color:var(--soft)}
figure svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:7.5px}
.top{text-anchor:middle}.side{text-anchor:end}
.month{fill:var(--well)}
.c{fill:var(--c)}.w{fill:var(--w)}.h{fill:var(--h)}
.o{fill:none;stroke:var(--o);stroke-width:1.5}.n{stroke:var(--n);stroke-width:1.4}
.ink{fill:none;stroke:var(--ink-h);stroke-width:1.3;stroke-linecap:round}.w+.ink{stroke:var(--ink-w)}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:7px 14px;text-align:right;white-space:nowrap}
th:first-child{text-align:left;position:sticky;left:0;background:var(--card)}
thead th{font-weight:500;color:var(--soft)}
tbody th{font-weight:500}
tbody tr,tfoot tr{border-top:1px solid var(--line)}
tfoot{font-weight:600}
.part{font-weight:700}.nil{color:var(--soft)}
details{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:8px 0;padding:0 16px}
summary{cursor:pointer;padding:10px 0;font-weight:500}
details ul{list-style:none;margin:0;padding:0 0 8px}
details li{border-top:1px solid var(--line);padding:6px 0;overflow-wrap:anywhere;font-size:.92rem}
.who{color:var(--soft);margin-right:.4em}
.what{display:block}
code,pre{font:.85rem/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;overflow-x:auto;margin:0}
main{padding-bottom:48px}
:focus-visible{outline:2px solid var(--o);outline-offset:2px}
@media(max-width:480px){header,main{padding-left:12px;padding-right:12px}article{padding:12px 10px}
th,td{padding:6px 10px}}
@media print{details{break-inside:avoid}}
"""
"""Colours are variables with a light and a dark value; contrast of text is above 4.5 to 1 in both."""
