// Keeps the page up to date and sends requests. All text on the page comes escaped from the server or goes in as textContent.

const SETTLE_MS = 300; // several events of one moment are one refresh
const POLL_MS = 5000; // without a stream
const CHECK_MS = 15000; // with a stream: it does not say that time passes, nor that it hangs
const RETRY_MS = 3000;
const STALE_SECONDS = 10;

const UP = document.documentElement.dataset.up; // the way to the root of the service, whatever a proxy puts before it
const HERE = new URL(UP || ".", location.href).href.replace(/\/$/, "");
const find = (id) => document.getElementById(id);
const KINDS = find("main").dataset.kinds; // absent on the page of an error, which has nothing that could change
const EVENTS = ["message", "status", ...JSON.parse(KINDS ?? "[]")];

// Times

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function ago(at, now) {
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 2) return "now";
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  const amount = Math.floor(Math.abs(seconds) / length);
  return seconds > 0 ? `${amount} ${unit} ago` : `in ${amount} ${unit}`;
}

function localise(page) {
  const now = Date.now();
  for (const time of page.querySelectorAll("time")) time.textContent = ago(Date.parse(time.dateTime), now);
  for (const span of page.querySelectorAll("[data-origin]")) span.textContent = HERE;
}

// Refresh: fetch the page again and exchange the sections that differ

let fresh = Date.now();
let underway = false;
let wanted = null;

async function refresh() {
  if (underway) return want();
  underway = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    patch(new DOMParser().parseFromString(await answer.text(), "text/html"));
    fresh = Date.now();
  } catch {
    // The badge says for how long nothing has come; the next poll tries again.
  } finally {
    underway = false;
    badge();
  }
}

function want() {
  if (wanted === null) wanted = setTimeout(() => { wanted = null; refresh(); }, SETTLE_MS);
}

function patch(page) {
  const script = (of) => of.querySelector("script[defer]")?.getAttribute("src");
  if (!page.getElementById("main") || script(page) !== script(document)) return location.reload();
  localise(page);
  localise(document);
  rest(page);
  document.title = page.title;
  for (const section of page.querySelectorAll("[data-live]")) {
    const current = find(section.id);
    keep(current, section);
    if (current.isEqualNode(section)) continue;
    const focused = path(current, document.activeElement);
    const scrolls = [...current.querySelectorAll(".tall, .scroll")].map((box) => [box.scrollTop, box.scrollLeft]);
    current.className = section.className;
    current.replaceChildren(...section.childNodes);
    current.querySelectorAll(".tall, .scroll").forEach((box, index) => [box.scrollTop, box.scrollLeft] = scrolls[index] ?? [0, 0]);
    focused?.reduce((node, index) => node?.children[index], current)?.focus({ preventScroll: true });
  }
}

// Requests are carried out by the daemon. While it does not run, buttons must not look as if they did something.
const stopped = (page = document) => page.getElementById("stopped")?.firstElementChild != null;

function rest(page) {
  for (const button of page.querySelectorAll("[data-action]")) {
    button.disabled = stopped(page);
    button.title = button.disabled ? "The daemon is not running." : "";
  }
}

// What a person has opened or chosen stays so.
function keep(current, section) {
  const boxes = (root) => [root, ...root.querySelectorAll("details")].filter((node) => node.matches("details"));
  const fresh = boxes(section);
  boxes(current).forEach((box, index) => fresh[index]?.toggleAttribute("open", box.open));
  const chosen = current.querySelector("input[name=group]:checked")?.value;
  for (const input of section.querySelectorAll("input[name=group]")) input.checked = input.value === chosen;
}

function path(root, node) {
  if (!root.contains(node) || node === root) return null;
  const steps = [];
  for (; node !== root; node = node.parentElement) steps.unshift([...node.parentElement.children].indexOf(node));
  return steps;
}

// The stream

let stream = null;
let retry = null;

function connect() {
  clearTimeout(retry);
  stream?.close();
  stream = new EventSource(`${UP}events`);
  stream.onopen = () => { want(); badge(); };
  stream.onerror = () => {
    // The browser reconnects by itself unless the server answered with an error.
    if (stream?.readyState === EventSource.CLOSED) retry = setTimeout(connect, RETRY_MS);
    badge();
  };
  for (const name of EVENTS) stream.addEventListener(name, want);
}

const streaming = () => stream?.readyState === EventSource.OPEN;

function badge() {
  const seconds = Math.round((Date.now() - fresh) / 1000);
  const stale = seconds > (streaming() ? CHECK_MS / 1000 + STALE_SECONDS : STALE_SECONDS);
  const feed = find("feed");
  feed.dataset.state = stale ? "stale" : stopped() ? "stopped" : streaming() ? "live" : "poll";
  feed.textContent = stale ? `stale since ${seconds} s` : stopped() ? "daemon stopped" : streaming() ? "live" : `polled ${seconds} s ago`;
  document.body.toggleAttribute("data-stale", stale);
  feed.title = `Last update at ${new Date(fresh).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function tick() {
  badge();
  if (document.hidden) return;
  localise(document);
  if (Date.now() - fresh > (streaming() ? CHECK_MS : POLL_MS)) refresh();
}

function follow() {
  connect();
  setInterval(tick, 1000);
  // A browser allows six connections to one host; a hidden tab must not hold one.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return connect(), refresh();
    clearTimeout(retry);
    stream?.close();
  });
}

// Requests

function toast(text) {
  const box = find("toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { box.hidden = true; }, 8000);
}

// A dialog's form as a promise: true when it was submitted, false when it was given up.
function ask(name) {
  const dialog = find(name);
  return new Promise((resolve) => {
    const done = (answer) => { dialog.onclose = null; dialog.close(); resolve(answer); };
    find(`${name}-form`).onsubmit = (event) => { event.preventDefault(); done(true); };
    dialog.querySelector("[data-close]").onclick = () => done(false);
    dialog.onclose = () => resolve(false);
    dialog.showModal();
  });
}

async function post(url, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(UP + url, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status !== 401) return answer;
  location.assign(`${UP}sign-in?next=${encodeURIComponent(document.documentElement.dataset.path)}`); // the session has ended
  return null;
}

async function send(button, url, body, success) {
  button.disabled = true;
  try {
    const answer = await post(url, body);
    if (!answer) return;
    const said = await answer.json().catch(() => ({}));
    toast(answer.ok ? success : `Not done: ${said.detail ?? said.title ?? `HTTP ${answer.status}`}`);
    want();
  } catch {
    toast("Not done: the server did not answer.");
  } finally {
    button.disabled = stopped();
  }
}

async function swap(button, url, body, verb, after) {
  const { from, to, doubt = "" } = button.dataset;
  find("confirm-title").textContent = `Serve v${to} instead of v${from}?`;
  find("confirm-text").textContent = `${doubt} All predictions come from v${to} as soon as the daemon has checked its bundle. v${from} stays and can be ${after}.`;
  find("confirm-yes").textContent = `${verb} v${to}`;
  if (await ask("confirm")) await send(button, url, body, `Requested: serve v${to} instead of v${from}.`);
}

async function refuse(button) {
  const { to } = button.dataset;
  find("confirm-title").textContent = `Refuse v${to}?`;
  find("confirm-text").textContent = `v${to} does not wait any longer. It stays, and can be served later.`;
  find("confirm-yes").textContent = `Refuse v${to}`;
  if (await ask("confirm")) await send(button, "refuse", { version: Number(to) }, `Requested: refuse v${to}.`);
}

async function decide(button, url, verb, effect) {
  const { drop, name } = button.dataset;
  find("confirm-title").textContent = `${verb} ${name}?`;
  find("confirm-text").textContent = effect;
  find("confirm-yes").textContent = verb;
  if (await ask("confirm")) await send(button, url, { drop }, `Requested: ${url} ${name}.`);
}

async function acknowledge(button) {
  const { event, drop, until } = button.dataset;
  const body = event ? { event: Number(event) } : drop ? { drop } : { until: Number(until) };
  if (until) {
    find("confirm-title").textContent = "Acknowledge all problems so far?";
    find("confirm-text").textContent = "Warnings and errors that are over no longer ask for attention. What still holds stays.";
    find("confirm-yes").textContent = "Acknowledge";
    if (!await ask("confirm")) return;
  }
  await send(button, "acknowledge", body, "Requested: acknowledged as soon as the daemon has recorded it.");
}

const actions = {
  retrain: (button) => send(button, "trigger_retrain", { force_retrain: true }, "Training requested. Follow it below."),
  promote: (button) => swap(button, "promote", { version: Number(button.dataset.to) }, "Promote", "brought back"),
  refuse,
  forget: (button) => decide(button, "forget", "Forget", button.dataset.effect),
  accept: (button) => decide(button, "accept", "Accept", "Its rows are added to the dataset, and the next version is trained on them."),
  reject: (button) => decide(button, "reject", "Reject", "The file goes to inbox/rejected with the reason, and none of its rows is used."),
  acknowledge: (button) => acknowledge(button),
  rollback: (button) => swap(button, "rollback", { version: Number(button.dataset.to) }, "Roll back to", "promoted again"),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) actions[button.dataset.action](button);
});

// Theme: system setting, light, dark

const THEMES = ["", "light", "dark"];

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "";
  find("theme").textContent = { "": "◐", light: "☀", dark: "☾" }[theme];
  find("theme").ariaLabel = `Theme: ${theme || "system setting"}`;
}

find("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const theme = THEMES[(THEMES.indexOf(root.dataset.theme ?? "") + 1) % THEMES.length];
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
  showTheme();
});

showTheme();
localise(document);
rest(document);
// The result of a search stays as it was found; its page says of when it is.
if (KINDS && !document.querySelector("[data-static]")) follow();
