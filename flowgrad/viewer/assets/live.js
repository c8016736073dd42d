// A run that is training: its losses and its values, from the server that gave this page; a file asks nobody.
const EVERY = 1000; // milliseconds between two questions
async function ask(name) {
  const answer = await fetch(D.live + name);
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}
async function follow() {
  try {
    const found = await ask("state");
    D.state = found.state;
    if (found.history) { D.history = found.history; showChart(); }
    if (found.version !== D.version) await takeNew();
    showState("");
  } catch (problem) {
    showState("no answer: is flowgrad view still running?");
  }
  setTimeout(follow, EVERY);
}
async function takeNew() {
  const found = await ask("values");
  if (found.other) { D.replaced = true; D.version = found.version; }
  if (!found.values) return;
  takeValues(found.values);
  versionOf.values++;
  extents.clear();
  byImportance = null;
  if (!small) rank();
  D.version = found.version;
  document.documentElement.dataset.version = versionOf.values;
  refresh();
}
function showState(problem) {
  const pill = $("state"), state = D.state;
  pill.hidden = !problem && !state && !D.replaced;
  if (pill.hidden) return;
  const epochs = D.history && D.history.loss && D.history.loss.length ? epochOf(D.history.loss.length - 1) : 0;
  const training = state && state.reason === null;
  pill.className = problem ? "wrong" : training && state.age < 30 ? "running" : "";
  if (problem) pill.textContent = problem;
  else if (D.replaced) pill.textContent = "another network stands here now: reload";
  else if (!training) pill.textContent = `${state.reason} after ${plural(epochs, "epoch")}`;
  else {
    const old = state.age >= 30 ? `, nothing new for ${Math.round(state.age)} s` : "";
    pill.textContent = `training: epoch ${whole(epochs)}${state.epochs ? ` of ${whole(state.epochs)}` : ""}${old}`;
  }
}
