// Checkpoints of a run: a slider that shows the same unit, or the surprise, at another of them; and the table of scores
const run = data.over_training; // null without -checkpoints
const snapshots = run ? run.checkpoints : [];
const here = snapshots.findIndex((each) => !each.nats); // the checkpoint that all else on the page is about
let chosenSnapshot = here;

const snapshotName = (each) => `epoch ${each.epoch}${each.val_loss === null ? "" : `, validation loss ${each.val_loss.toFixed(4)}`}`;

// The chosen checkpoint, if it has what the text is colored by; null stands for the page's.
function snapshotOf(hasIt) {
  const there = chosenSnapshot === here ? null : snapshots[chosenSnapshot];
  $("checkpoint").disabled = !hasIt(snapshots[here ? 0 : 1] || {});
  const shown = there && !$("checkpoint").disabled ? there : null;
  if (run) $("checkpoint-name").textContent = snapshotName(shown || snapshots[here]);
  return shown;
}

// The values of a unit at the chosen checkpoint, or the column itself
async function columnAtSnapshot(column) {
  const at = snapshotOf((each) => each.columns?.[keyOf(column)])?.columns[keyOf(column)] || column;
  await unpack(at);
  return at;
}

async function openSnapshot() {
  const snapshot = snapshotOf((each) => each.nats);
  if (snapshot) snapshot.list ||= Float32Array.from(await opened(snapshot.nats, Uint16Array), (value) => value / 1000);
  return snapshot;
}

// What an explanation of the colors ends with
const atSnapshot = (snapshot) => (snapshot ? ` At epoch ${snapshot.epoch}.` : "");

function showSnapshot(place) {
  chosenSnapshot = place;
  $("checkpoint").value = place;
  $("checkpoint").setAttribute("aria-valuetext", snapshotName(snapshots[place]));
  return colorBy($("by").value);
}

function overTraining() {
  if (!run) return;
  for (const name of ["over-training", "when", "over-link"]) $(name).hidden = false;
  $("checkpoint").max = snapshots.length - 1;
  $("checkpoint").value = here;
  $("checkpoint").addEventListener("input", () => showSnapshot(Number($("checkpoint").value)));
  const heads = () => [["property", 1], ["score", 1], ...snapshots.map((each) => [element("span", each.epoch, { class: "n" }), 1]), ["first above chance", 1]];
  const units = tableOf("Best unit, by epoch", heads(), $("snapshots"));
  const probes = tableOf("Linear probe of the whole state, by epoch; orange is above the best of shuffled weights", heads().slice(0, -1), $("snapshots"));
  const losses = (name, values) => row([name, "nats", ...values.map((value) => (value === null ? "" : value.toFixed(4))), ""]);
  units.append(losses("validation loss", snapshots.map((each) => each.val_loss)), losses("loss on this text", snapshots.map((each) => each.loss)));
  for (const { name, kind, first, units: names, scores, levels, probes: both } of run.properties) {
    const score = (value, place) => {
      const unit = names[place], words = value.toFixed(3), title = `${unit} chance ${levels[place].toFixed(3)}`.trim();
      const onPage = place === here ? byName.has(unit.split(".")[0]) : unit in snapshots[place].columns;
      const link = onPage ? element("a", words, { href: `#color=${unit}&checkpoint=${place}` }) : words;
      return element("span", link, { class: unit ? "n high3" : "n", title });
    };
    units.append(row([name, kind, ...scores.map(score), first === null ? "never" : `epoch ${snapshots[first].epoch}`]));
    const probe = ([value, shuffled]) => element("span", value.toFixed(3), { class: value > shuffled ? "n high3" : "n", title: `shuffled weights ${shuffled.toFixed(3)}` });
    probes.append(row([name, kind, ...both.map(probe)]));
  }
}
