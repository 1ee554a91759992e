"""The style sheet of the status page."""

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M4 2v12M8 5v9M12 1v9' stroke='%233b78c4' stroke-width='3'/%3E%3C/svg%3E"
)

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--text:#1d2125;--soft:#5b636b;--line:#e2dfd9;--well:#f2f0ec;
--good:#1f7a4d;--bad:#b3261e;--c:#cfe8da;--ink-c:#135c38;--w:#f4c95d;--ink-w:#3a2a00;--h:#c4352b;--ink-h:#fff;
--o:#2f6db8;--up:#2f6db8;--down:#b3560e;--bar:#bcd3ee;--yes:#135c38}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--text:#e6e8ea;--soft:#a3abb3;--line:#30363c;
--well:#23282d;--good:#63c796;--bad:#ff8a80;--c:#214a38;--ink-c:#a5e3c4;--w:#d9a431;--ink-w:#221800;--h:#c9463b;
--o:#6ea8ee;--up:#6ea8ee;--down:#f0a060;--bar:#2f4d70;--yes:#63c796}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main{max-width:1240px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
.label{font-size:.8rem;letter-spacing:.02em;color:var(--soft);margin:.4em 0}
h1{font-size:clamp(1.3rem,3.6vw,1.9rem);line-height:1.25;margin:.2em 0 .4em;text-wrap:balance;overflow-wrap:anywhere}
.good .mark{color:var(--good)}.bad .mark{color:var(--bad)}
h2{font-size:1.1rem;margin:32px 0 12px}
h3{font-size:1.05rem;margin:0 0 10px;display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 8px}
a{color:inherit;text-decoration-color:var(--line);text-underline-offset:3px}a:hover{text-decoration-color:currentcolor}
.ticker{font-weight:400;color:var(--soft);font-size:.8rem}
.facts{display:flex;flex-wrap:wrap;gap:2px 22px;list-style:none;margin:0;padding:0;color:var(--soft);
font-variant-numeric:tabular-nums}
.reasons{margin:.2em 0 .8em;padding-left:1.2em}
.lost{display:none}.away .lost,.notice{display:block;margin:12px 0 0;padding:10px 14px;border:1px solid var(--bad);
border-radius:8px;color:var(--bad)}
.notice{margin:0 0 14px}
.legend{display:flex;flex-wrap:wrap;gap:6px 20px;list-style:none;padding:0;margin:0 0 14px;font-size:.85rem;
color:var(--soft)}
.legend li{display:flex;align-items:center}
.legend .day{justify-content:center;width:24px;height:20px;margin-right:7px;padding:0}
.cities{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(350px,100%),1fr));gap:16px;align-items:start}
article,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.badge{margin-left:auto;font-size:.85rem;font-weight:500;white-space:nowrap;font-variant-numeric:tabular-nums}
.badge.good{color:var(--good)}.badge.bad{color:var(--bad)}
dl{margin:0}dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-variant-numeric:tabular-nums}
.figures{display:grid;grid-template-columns:1fr 1fr;gap:8px 14px;margin-bottom:12px}
.more{display:block;color:var(--soft);font-size:.8rem}
.failing{border-left:3px solid var(--bad);padding:2px 0 2px 10px;margin:0 0 12px;font-size:.85rem}
.failing p{margin:0}.failing ul{margin:2px 0;padding-left:1.1em;overflow-wrap:anywhere}
code{font:.8rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
summary{cursor:pointer;padding:7px 0;list-style-position:inside}
.event{border-top:1px solid var(--line)}
.event summary{display:flex;gap:8px;align-items:baseline;font-size:.9rem;list-style:none}
.event summary::-webkit-details-marker{display:none}
.event summary::before{content:"";flex:none;width:6px;height:6px;border:solid var(--soft);border-width:0 2px 2px 0;
transform:rotate(-45deg) translate(-1px,-1px)}
.event[open] summary::before{transform:rotate(45deg) translate(-3px,-1px)}
.when{font-weight:500;white-space:nowrap}
.gist{color:var(--soft);font-size:.85rem}.event .gist{margin-left:auto;text-align:right}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{font-weight:400;padding:0;text-align:right;white-space:nowrap}
.bins{font-size:.85rem;margin:0 0 8px}
.bins thead th,.newest thead th{color:var(--soft);font-size:.75rem}
.bins th:first-child{text-align:left;width:5.4em;white-space:normal;overflow-wrap:anywhere}
.bins td,.bins th{padding:2.5px 0 2.5px 8px}.bins th:first-child{padding-left:0}
.bins .bar{width:auto;padding-left:4px}
.bar span{display:block;height:11px;border-radius:2px;background:var(--bar);min-width:1px}
.bins td:nth-child(3){width:3.4em}.bins td:nth-child(4){width:5.2em}.bins td:last-child{width:4.4em;color:var(--soft)}
.bins .s-yes td:last-child,.bins .s-yes th{color:var(--yes);font-weight:600}
.bins .chosen a{text-decoration:underline 2px var(--o)}
.days{table-layout:fixed;margin-top:12px;border-top:1px solid var(--line)}
.days caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.days th{color:var(--soft);font-size:.72rem;text-align:center;padding:6px 0 2px}
.days td{padding:1.5px}
.day{display:flex;justify-content:space-between;align-items:center;height:24px;padding:0 6px;border-radius:4px;
font-size:.75rem;border:1px solid transparent}
.day.c{background:var(--c);color:var(--ink-c)}.day.w{background:var(--w);color:var(--ink-w);font-weight:700}
.day.h{background:var(--h);color:var(--ink-h);font-weight:700}.day.o{border-color:var(--o);color:var(--o)}
.day.f{border:1px dashed var(--line);color:var(--soft)}.day.n{color:var(--soft)}
.days .day[aria-current]{box-shadow:0 0 0 2px var(--text)}
.why{list-style:none;margin:8px 0 0;padding:0;font-size:.85rem}.why li{display:flex;margin-top:3px}
.why .day{flex:none;justify-content:center;width:20px;height:18px;margin:2px 7px 0 0;padding:0}
form{display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center;margin-bottom:14px;font-size:.9rem}
label{color:var(--soft);max-width:100%}
select,button{font:inherit;color:var(--text);background:var(--well);border:1px solid var(--line);border-radius:6px;
padding:5px 8px;max-width:100%}
.empty{color:var(--soft);margin:10px 0}
#market h3{margin-bottom:2px}#market>.gist{margin:0 0 14px;font-variant-numeric:tabular-nums}
.chart{position:relative;height:360px;margin:8px 0 30px}
.chart svg{position:absolute;inset:0;width:calc(100% - 52px);height:100%;overflow:visible}
.chart path,.chart rect{vector-effect:non-scaling-stroke}
.grid{stroke:var(--line);fill:none}.last{stroke:var(--text);stroke-dasharray:3 3;fill:none;pointer-events:none}
.chart .field{fill:transparent;stroke:none}.chart g:hover .field{fill:var(--well)}
.up{fill:var(--up);stroke:var(--up)}.down{fill:var(--down);stroke:var(--down)}
.same{fill:var(--soft);stroke:var(--soft)}.chart .body{stroke:none}
.chart .volume{opacity:.55;stroke:none}
.price,.time{position:absolute;font-size:.75rem;color:var(--soft);line-height:1;white-space:nowrap}
.price{right:0;width:46px;transform:translateY(-50%);font-variant-numeric:tabular-nums}
.tag{background:var(--text);color:var(--card);padding:3px 0 3px 4px;border-radius:3px;right:2px;z-index:1}
.time{top:calc(100% + 8px);transform:translateX(-50%)}
.note{color:var(--soft);font-size:.85rem;margin:10px 0 0}
.key.up{color:var(--up)}.key.down{color:var(--down)}.key.same{color:var(--soft)}
.newest{font-size:.85rem;max-width:560px}.newest th:first-child{text-align:left}
.newest td,.newest th{padding:2px 0 2px 8px}
#newest summary{font-size:.9rem}
.service{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(270px,100%),1fr));gap:12px 24px;
background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.service dd{overflow-wrap:anywhere}
main{padding-bottom:48px}
:focus-visible{outline:2px solid var(--o);outline-offset:2px}
@media(max-width:520px){header,main{padding-left:12px;padding-right:12px}article,.panel{padding:12px}
.day{padding:0 4px}.chart{height:280px}.minor{visibility:hidden}.facts{gap:2px 16px;font-size:.9rem}
.chart .up .body{stroke:var(--up)}.chart .down .body{stroke:var(--down)}.chart .same .body{stroke:var(--soft)}}
"""
"""Colours are variables with a light and a dark value; contrast of text is above 4.5 to 1 in both."""
