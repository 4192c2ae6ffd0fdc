"use strict";
// Draws /status once a second. What clients chose (names, addresses) only ever becomes text.

const el = (tag, attrs = {}, ...children) => {
  const e = document.createElement(tag);
  Object.assign(e, attrs);
  e.append(...children);
  return e;
};
const byId = (id) => document.getElementById(id);
const row = (name, value) => el("div", { className: "row" }, el("span", {}, name), el("span", {}, String(value ?? "–")));
const dot = (kind) => el("span", { className: "dot " + kind });

const bytes = (n) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i && n < 10 ? n.toFixed(1) : Math.round(n)) + " " + units[i];
};
const seconds = (s) => (s === undefined ? "–" : s < 1 ? Math.round(s * 1000) + " ms" : s.toFixed(1) + " s");
const since = (from, now) => seconds((new Date(now) - new Date(from)) / 1000);

const severity = (lag) => (lag > 64 << 20 ? "bad" : lag > 1 << 20 ? "warn" : "good");

function standby(s) {
  const kind = s.state === "streaming" ? severity(s.lag_bytes) : "warn";
  // A logarithmic bar: full at 1 GB, so that kilobytes are still seen.
  const width = Math.min(100, (Math.log2(1 + s.lag_bytes) / 30) * 100);
  const fill = el("i", { className: kind });
  fill.style.width = width + "%";
  return el("article", { className: "card" },
    el("b", {}, dot(kind), s.application_name || "(no name)", " ", el("small", {}, s.client_addr || "local")),
    row(s.state + (s.send_when ? ", held at " + s.send_when : "") + (s.slot_name ? " · slot " + s.slot_name : ""),
      bytes(s.lag_bytes) + " behind"),
    row("write / flush / replay lag", [s.write_lag, s.flush_lag, s.replay_lag].map(seconds).join(" / ")),
    row("flush", s.flush_lsn),
    el("div", { className: "bar" }, fill));
}

// quorum says for each position whether commits wait for it, and for whom.
function quorum(s) {
  const q = s.quorum;
  if (!q.levels.length) return [];
  const behind = (n) => n === undefined ? "nothing" : bytes(n);
  const waits = (x) => x && (new Date(s.now) - new Date(x)) / 1000 > 1;
  const level = (l) => row(l.position + (l.satisfiable ? "" : " · cannot be satisfied"),
    (l.quorum_lsn ?? "–") + (waits(l.waiting_since) ? " · waiting " + since(l.waiting_since, s.now) : ""));
  const voter = (v) => {
    const counts = v.standing === "counts";
    const late = ["write", "flush", "apply"].filter((c) => waits(v[c + "_behind_since"]) && (c !== "apply" || v.apply_lsn));
    return el("article", { className: "card" },
      el("b", {}, dot(!counts ? "bad" : late.length ? "warn" : "good"), v.name || "(no name)", " ",
        el("small", {}, v.kind + (v.zone ? " in " + v.zone : "") + (v.node ? " over " + v.node : ""))),
      row(counts ? v.sync_state : v.standing,
        late.map((c) => c + " " + behind(v[c + "_behind_bytes"]) + " for " + since(v[c + "_behind_since"], s.now)).join(", ") ||
        (counts ? "up to date" : "")));
  };
  const stuck = q.levels.some((l) => !l.satisfiable && l.position !== "apply");
  return [el("h2", {}, "rule"),
    el("article", { className: "card" }, el("b", {}, dot(stuck ? "bad" : "good"), q.rule || "of another proxy"),
      ...(q.zones ?? []).map((z) => row("zone " + z.name, z.candidates === 0 ? "nobody counts"
        : waits(z.flush_behind_since) ? behind(z.flush_behind_bytes) + " for " + since(z.flush_behind_since, s.now) : "up to date")),
      ...q.levels.map(level), ...(stuck ? [row("why", q.levels.find((l) => !l.satisfiable).why)] : [])),
    ...q.voters.filter((v) => v.sync_priority > 0).map(voter)];
}

// verdict says first what the proxy says of itself: the same words as everywhere.
function verdict(v) {
  const kind = { ok: "good", degraded: "warn" }[v.state] ?? "bad";
  byId("ready").textContent = v.state;
  byId("ready").className = "pill " + kind;
  byId("verdict").className = kind;
  const [words, link] = byId("verdict").children;
  words.textContent = v.text;
  link.hidden = !v.runbook;
  if (v.runbook) link.href = v.runbook;
}

function draw(s) {
  byId("name").textContent = s.name;
  document.title = s.name + " · replproxy";
  byId("version").textContent = "version " + s.version;
  verdict(s.verdict);
  byId("warnings").replaceChildren(...s.warnings.map((w) => el("li", {}, w)));

  const u = s.upstream, live = u.state === "streaming";
  byId("upstream").replaceChildren(
    el("b", {}, dot(live ? "good" : "bad"), (u.member ? "member " : "") + (u.endpoint || "no server yet")),
    row("state", u.state), row("version", u.server_version), row("slot", u.slot || "none"),
    row("told write", u.reported_write_lsn), row("told flush", u.reported_flush_lsn),
    row("last message", u.last_message_at ? since(u.last_message_at, s.now) + " ago" : "never"),
    ...(u.errors ?? []).map((e) => row((e.host ?? "") + " for " + since(e.since, s.now), e.error)));
  byId("store").replaceChildren(
    el("b", {}, dot(s.store.paused ? "warn" : "good"), s.listen.join(", ")),
    row("/readyz", s.ready ? "ready" : "not ready: " + s.not_ready),
    row("timeline", s.store.timeline), row("received", s.store.received_lsn),
    row("flushed", s.store.flushed_lsn), row("oldest", s.store.oldest_lsn),
    row("disk free", s.store.free_bytes ? bytes(s.store.free_bytes) : "–"));
  byId("quorum").replaceChildren(...quorum(s));
  byId("sessions").replaceChildren(
    row("regular", s.sessions.regular), row("physical walsenders", s.sessions.physical),
    row("logical walsenders", s.sessions.logical));
  byId("slots").replaceChildren(...(s.slots.length
    ? s.slots.map((x) => row(x.slot_name + (x.owner && x.owner !== s.name ? " at " + x.owner : "") +
        (x.active ? "" : " (inactive)"), bytes(x.held_bytes)))
    : [row("none", "")]));
  byId("events").replaceChildren(...s.events.slice(0, 12).map((e) => row(e.at.slice(11, 19), e.text)));
  byId("standbys").replaceChildren(...s.standbys.map(standby));
  byId("count").textContent = s.standbys.length;
  byId("wire-in").classList.toggle("live", live);
  byId("wire-out").classList.toggle("live", s.standbys.some((x) => x.state === "streaming"));
}

// The token, where one is asked for, stays in this tab. Only visible ASCII can be one, or be sent in a header.
const token = () => sessionStorage.getItem("token");
const ask = (path) =>
  fetch(path, { headers: token() ? { Authorization: "Bearer " + token() } : {}, signal: AbortSignal.timeout(5000) });
const say = (kind, text) => {
  byId("ready").textContent = text;
  byId("ready").className = "pill " + kind;
};
const notIt = "this is not the token";

byId("token").addEventListener("submit", (e) => {
  e.preventDefault();
  const word = byId("word").value.trim();
  byId("word").value = "";
  if (!/^[!-~]+$/.test(word)) return say("warn", notIt);
  sessionStorage.setItem("token", word);
  show();
});

// A link cannot carry the token: what it leads to is fetched and shown as text.
for (const a of document.querySelectorAll("footer a"))
  a.addEventListener("click", async (e) => {
    if (!token()) return;
    e.preventDefault();
    try {
      const text = await (await ask(a.getAttribute("href"))).text();
      location.assign(URL.createObjectURL(new Blob([text], { type: "text/plain; charset=utf-8" })));
    } catch {
      say("bad", "no answer from the proxy");
    }
  });

async function show() {
  try {
    const answer = await ask("status");
    const refused = answer.status === 401;
    byId("token").hidden = !refused;
    byId("all").hidden = refused;
    if (!refused) draw(await answer.json());
    else say("warn", token() ? notIt : "a token is needed");
  } catch {
    say("bad", "no answer from the proxy");
  }
}

async function tick() {
  await show();
  setTimeout(tick, 1000);
}
tick();
