// Answers a row while it is typed: the form goes to the same page as without a script, whose answer replaces the one shown.

const PAUSE_MS = 300; // after the last key
const WAIT_MS = 20000;

const form = find("row-form");
let pause = null;
let asked = null;

const fieldNames = (page) => [...page.querySelectorAll("#row-fields [name]")].map((field) => field.name).join("\n");

// Hints and marks of wrong fields, without touching what is typed.
function showProblems(page) {
  for (const field of page.querySelectorAll("#row-fields [name]")) {
    const shown = find(field.id), hint = field.getAttribute("aria-describedby");
    shown.ariaInvalid = field.ariaInvalid;
    find(hint).replaceChildren(...page.getElementById(hint).cloneNode(true).childNodes);
  }
}

function showAnswer(page) {
  const outcome = find("row-outcome"), open = [...outcome.querySelectorAll("details")].map((box) => box.open);
  outcome.replaceChildren(...page.getElementById("row-outcome").childNodes);
  outcome.querySelectorAll("details").forEach((box, index) => { box.open = open[index] ?? false; });
  if (fieldNames(page) === fieldNames(document)) showProblems(page);
  else find("row-fields").replaceChildren(...page.getElementById("row-fields").childNodes); // another version's columns
  const said = page.getElementById("row-said").textContent;
  if (find("row-said").textContent !== said) find("row-said").textContent = said;
}

function showTrouble(text) {
  const line = document.createElement("p");
  line.className = "wrong";
  line.textContent = `No answer: ${text}`;
  find("row-outcome").replaceChildren(find("row-outcome").querySelector("h2"), line);
  find("row-said").textContent = line.textContent;
}

async function answer() {
  clearTimeout(pause);
  asked?.abort();
  const mine = asked = new AbortController();
  form.setAttribute("aria-busy", "true");
  try {
    const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(WAIT_MS)]);
    const got = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { accept: "text/html" }, signal });
    if (got.status === 401) return location.assign(`${UP}sign-in?next=/dashboard/predict`);
    const page = new DOMParser().parseFromString(await got.text(), "text/html");
    if (mine !== asked) return;
    if (page.getElementById("row-outcome")) showAnswer(page);
    else showTrouble(page.querySelector("#main p")?.textContent ?? `HTTP ${got.status}`);
  } catch (error) {
    if (mine === asked && error.name !== "AbortError") showTrouble("the server did not answer.");
  } finally {
    if (mine === asked) form.removeAttribute("aria-busy");
  }
}

form?.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(answer, PAUSE_MS); });
form?.addEventListener("submit", (event) => { event.preventDefault(); answer(); });
if (form && !find("row-outcome").querySelector(".headline")) answer();
