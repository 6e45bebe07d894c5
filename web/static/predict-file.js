// Predicts a CSV file in pieces, each a POST /predict, so that neither the server nor a time limit meets the whole file.

const PIECE_CHARACTERS = 500_000;
const PIECE_ROWS = 10_000;
const TRIES = 5;
const BUSY = [429, 503, 504]; // statuses after which the same piece may be sent again

class Refused extends Error {}

// Where the last whole record ends in a text, and how many records that is. A line end in quotes is part of a cell.
function wholeRecords(text, most) {
  let quoted = false, end = 0, count = 0;
  for (let at = 0; at < text.length && count < most; at += 1) {
    const letter = text[at];
    if (letter === '"') quoted = !quoted;
    else if (letter === "\n" && !quoted) { end = at + 1; count += 1; }
  }
  return { end, count };
}

const lineEnds = (text) => text.split("\n").length - 1;

// The file as pieces of whole records: the header, rows, and the number of the file's lines before them.
async function* piecesOf(file) {
  const reader = file.stream().pipeThrough(new TextDecoderStream("utf-8", { fatal: true })).getReader();
  let text = "", lines = 0, header = null, done = false;
  const readMore = async () => {
    const { value, done: ended } = await reader.read().catch((error) => {
      throw error instanceof TypeError ? new Refused("The file is not UTF-8 text. In Excel, save it as “CSV UTF-8”.") : error;
    });
    done = ended;
    text += value ?? "";
  };
  while (!done || text) {
    while (!done && text.length < PIECE_CHARACTERS) await readMore();
    const most = header !== null ? PIECE_ROWS : /^"?sep=/i.test(text) ? 2 : 1;
    let whole = wholeRecords(text, most);
    while (!done && (header === null ? whole.count < most : whole.end === 0)) {
      await readMore();
      whole = wholeRecords(text, most);
    }
    // The last record of a file may have no line end.
    const end = done && whole.count < most ? text.length : whole.end;
    const part = text.slice(0, end);
    text = text.slice(end);
    if (header === null) header = part.endsWith("\n") ? part : `${part}\n`;
    else if (part.trim()) yield { body: header + part, before: lines, head: lineEnds(header), size: part.length };
    lines += lineEnds(part);
  }
}

// The answers to one piece: its text, and the version. Raises Refused with a sentence for people.
async function answersTo(piece, shares) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(`${UP}predict${shares ? "?proba=true" : ""}`, {
      method: "POST", headers: { "content-type": "text/csv" }, body: piece.body,
    });
    if (answer.ok) return { text: await answer.text(), version: answer.headers.get("x-model-version") };
    if (answer.status === 401) location.assign(`${UP}sign-in?next=/dashboard`);
    const said = await answer.json().catch(() => ({}));
    if (!BUSY.includes(answer.status) || attempt === TRIES) throw new Refused(sentence(said, answer.status, piece));
    await new Promise((resolve) => setTimeout(resolve, 1000 * attempt));
  }
}

// What is wrong, with lines of the file instead of those of the piece.
function sentence(said, status, piece) {
  const moved = (text) => text.replace(/^Line (\d+)/, (_, line) => `Line ${Number(line) > piece.head ? Number(line) - piece.head + piece.before : line}`);
  const details = (said.errors ?? []).map((error) => moved(error.detail));
  return details.length ? details.join("\n") : said.detail ?? `HTTP ${status}`;
}

async function predictFile(file, shares, progress) {
  const parts = [], versions = new Set();
  let rows = 0, characters = 0;
  for await (const piece of piecesOf(file)) {
    const { text, version } = await answersTo(piece, shares);
    const head = wholeRecords(text, 1).end;
    parts.push(parts.length ? text.slice(head) : text);
    rows += wholeRecords(text.slice(head), Infinity).count;
    versions.add(version);
    characters += piece.size;
    progress(characters / file.size, rows);
  }
  if (!parts.length) throw new Refused("The file has no rows below its header.");
  // Decoding has removed the byte order mark, without which Excel does not read UTF-8.
  const start = new Uint8Array(await file.slice(0, 3).arrayBuffer());
  if (start.join() === "239,187,191") parts.unshift("\ufeff");
  return { blob: new Blob(parts, { type: "text/csv" }), rows, versions: [...versions] };
}

function showAnswers(link, file, blob) {
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
  link.download = `${file.name.replace(/\.csv$/i, "")}.predictions.csv`;
  link.textContent = `Save ${link.download}`;
  link.hidden = false;
  link.focus();
}

find("predict-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [file] = find("predict-input").files;
  const status = find("predict-status"), bar = find("predict-progress"), button = find("predict-send"), link = find("predict-result");
  button.disabled = true;
  link.hidden = true;
  bar.hidden = false;
  bar.value = 0;
  status.textContent = "Predicting…";
  status.classList.remove("wrong");
  try {
    const { blob, rows, versions } = await predictFile(file, find("predict-proba").checked, (share) => { bar.value = share; });
    status.textContent = `${rows.toLocaleString("en")} ${rows === 1 ? "row was" : "rows were"} answered by version ${versions.join(", ")}.`;
    showAnswers(link, file, blob);
  } catch (error) {
    const reason = error instanceof Refused ? error.message : error instanceof TypeError ? "The server did not answer. Try again; retraind status says how it is." : String(error);
    status.textContent = `Not predicted.\n${reason}`;
    status.classList.add("wrong");
  } finally {
    button.disabled = false;
    bar.hidden = true;
  }
});
