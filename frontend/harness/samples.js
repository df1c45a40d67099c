// Sample data for the harness: made up, of the sizes that have to stay fluid.

const page = (changes) => ({
  id: "p1",
  position: [2, 3],
  campaign: "nov23",
  parent: 7,
  metric: "val_bpb",
  goal: "minimize",
  unit: "bits/byte",
  status: "open",
  decided: null,
  hypothesis:
    "A smaller matrix learning rate lets the last third of the budget settle; halve MATRIX_LR and normalise queries and keys.",
  author: "TPE",
  expected: "-0.01 val_bpb",
  cost: "0.02, 1,234 tokens, 12 s",
  deadline: null,
  files: [file(60)],
  touches: ["MATRIX_LR 0.04 → 0.02", "norm() changed", "imports os"],
  warnings: [
    { kind: "imports", text: "imports subprocess: the patch can start other programs." },
    { kind: "seed", text: "changes the seed and nothing else: a gain would be luck." },
  ],
  prompt: "You are a researcher.\n<b>not bold</b>",
  reply: "I would halve the learning rate.",
  program: "program.md",
  can_revise: true,
  feedback: ["Keep the width."],
  ...changes,
});

function file(lines, path = "train.py") {
  const body = [];
  for (let i = 0; i < lines; i += 1) {
    body.push(
      i % 12 === 0
        ? `def layer_${i}(x, scale=${i}):`
        : i % 12 === 11
          ? ""
          : `    x = x + scale * ${i}  # step ${i}: "quoted" text`,
    );
  }
  const old = [
    "import math",
    "",
    "MATRIX_LR = 0.04",
    "SEED = 0",
    "",
    ...body,
    "def norm(x):",
    "    return x / math.sqrt(sum(v * v for v in x))",
  ];
  const next = old.map((line) => (line === "MATRIX_LR = 0.04" ? "MATRIX_LR = 0.02" : line));
  next.splice(1, 0, "import os");
  for (let i = 30; i < lines; i += Math.max(40, Math.floor(lines / 12))) {
    next[i] = `    x = x - scale * ${i}  # changed`;
    next.splice(i + 4, 1);
    next.splice(i + 6, 0, "    y = x", "    x = y");
  }
  return { path, old: `${old.join("\n")}\n`, new: `${next.join("\n")}\n`, draft: null };
}

const curve = (n, noise) =>
  Array.from({ length: n }, (_, i) => [
    (i + 1) / n,
    1.8 + 3 * Math.exp(-6 * ((i + 1) / n)) + noise * Math.sin(i * 1.7),
  ]);

function rows(n) {
  let [best, seed] = [2.4, 1];
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  return Array.from({ length: n }, (_, i) => {
    const at = new Date(Date.UTC(2026, 10, 24, 20, 0, i * 80)).toISOString();
    if (i && random() < 0.08)
      return [i, "crash", null, null, `wider by ${i}`, "TPE", at, 12.5, 0.001];
    if (i && random() < 0.03)
      return [i, "refused", null, null, `imports socket in step ${i}`, "LLM", at, null, 0.002];
    const value = i === 0 ? best : best + (random() - 0.12) * 0.12;
    const keep = i === 0 || value < best;
    const row = [
      i,
      keep ? "keep" : "discard",
      value,
      i ? value - best : null,
      `MATRIX_LR ${(0.04 / (1 + (i % 9))).toFixed(4)}, and a longer hypothesis that needs an ellipsis in the table of experiment ${i}`,
      i % 7 ? "TPE" : "Ann",
      at,
      21.4,
      i % 5 ? 0.001 : null,
    ];
    if (keep) best = value;
    return row;
  });
}

// A prompt of about 20,000 tokens, with what could be taken for HTML in it.
const asked = {
  id: "q1",
  campaign: "nov23",
  parent: 7,
  idea: "look at the optimiser's warm-up",
  prompt: `You are a researcher. <b>not bold</b>\n\n${Array.from(
    { length: 1400 },
    (_, i) => `| ${i} | discard | 1.84 | MATRIX_LR 0.04 -> 0.0${i} and a line that is long enough |`,
  ).join("\n")}`,
  tokens: 20345,
  left_out: [],
};

const board = {
  campaign: "nov23",
  host: "labs/first",
  metric: "val_bpb",
  unit: "bits/byte",
  goal: "minimize",
  best: "0007 val_bpb 1.83",
  state: "training 0012",
  steps: { proposing: "0013 by TPE, 4 s", training: "0012, 43 %, 12 s left", approval: 2 },
  run: {
    title: "Experiment 0012, seed 1",
    progress: 0.43,
    phase: "training",
    loss: 2.31,
    line: "",
  },
  night: {
    id: "n1",
    phase: "running",
    reason: "",
    done: 12,
    of: 100,
    kept: 3,
    crashed: 1,
    refused: 1,
    discarded: 7,
    failures: 0,
    started: "2026-11-24T20:00:00Z",
    deadline: null,
    finish: new Date(Date.now() + 5.3 * 3600e3).toISOString(),
    busy: 0.93,
    cost: 0.42,
    max_cost: 5,
    tokens: 123456,
    policy: "ask 30 min, then approve",
    notes: ["The first 20 min were spent on calibration."],
  },
};

export const samples = {
  review: () => ({
    traits: {
      page: page({
        deadline: { at: new Date(Date.now() + 1750e3).toISOString(), then: "approve" },
      }),
    },
  }),
  long: () => ({ traits: { page: page({ files: [file(1490)] }) } }),
  several: () => ({
    traits: {
      page: page({
        files: [
          file(60),
          {
            path: "notes.md",
            old: "# Notes\n\nold *text*\n",
            new: "# Notes\n\nnew *text*\n- a point",
            draft: "# Notes\n\nmy *text*\n- a point",
          },
          { path: "conf.toml", old: "", new: "a = 1\n", draft: null },
        ],
        position: null,
      }),
    },
  }),
  decided: () => ({
    traits: {
      page: page({
        status: "refused",
        decided: {
          by: "Ann",
          reason: "The learning rate was tried in 0003.",
          at: new Date().toISOString(),
          edited: true,
        },
      }),
    },
  }),
  empty: () => ({ traits: { page: {} } }),
  monitor: () => ({
    traits: {
      run: {
        title: "Experiment 0007, seed 1",
        campaign: "nov23",
        budget: "20 s of the baseline's CPU time",
        best: { n: 4, curve: curve(64, 0) },
      },
      now: {
        phase: "training",
        progress: 0.6,
        loss: 1.9,
        tokens_per_second: 51234,
        memory_mb: 812,
        seconds_left: 8,
        seconds: 12,
        line: "",
        reason: "",
        final: false,
      },
      curve: curve(64, 0.05).slice(0, 38),
      log: Array.from({ length: 30 }, (_, i) => `step ${i} loss ${(4 - i / 20).toFixed(3)}`).join(
        "\n",
      ),
    },
  }),
  dashboard: () => ({
    traits: { board, rows: rows(600), review: "IPY_MODEL_r1" },
    children: { r1: { page: page({ position: [1, 2] }) } },
  }),
  quiet: () => ({
    traits: {
      board: {
        ...board,
        night: null,
        run: null,
        state: "nothing runs",
        steps: { proposing: "", training: "", approval: 0 },
      },
      rows: rows(9),
      review: "IPY_MODEL_r1",
    },
    children: { r1: { page: {} } },
  }),
  paste: () => ({ traits: { page: asked, now: { reply: "", model: "", repair: "", made: "" } } }),
  repair: () => ({
    traits: {
      page: { ...asked, left_out: ["older experiments", "a near miss"] },
      now: {
        reply: "I would halve the learning rate.",
        model: "a large one",
        tries: 1,
        repair:
          "The reply has no <hypothesis>…</hypothesis>.\nExpected that, then blocks:\n\n<<<<<<< SEARCH\n=======\n>>>>>>> REPLACE\n\nAnswer again, in the same format.",
        made: "",
      },
    },
  }),
  made: () => ({
    traits: { page: asked, now: { made: "Halve MATRIX_LR: <b>the last third</b> settles" } },
  }),
  talk: () => ({
    traits: {
      page: page({
        author: "LLM a-large-model",
        cost: "about 0.021 spent, about 12,345 tokens (9,000 cached), 14 s",
        prompt: asked.prompt,
        reply: Array.from(
          { length: 3 },
          (_, i) =>
            `# Reply\n\n<hypothesis>try ${i}</hypothesis>\n\n<<<<<<< SEARCH\nMATRIX_LR = 0.04\n=======\nMATRIX_LR = 0.0${i}\n>>>>>>> REPLACE${i < 2 ? "\n\n# Asked to try again\n\nThe first block is found twice in train.py: add lines around it." : ""}`,
        ).join("\n\n"),
      }),
    },
  }),
  explore: () => ({
    traits: {
      board,
      rows: rows(126).map((row) => (row[0] === 60 ? [60, "quarantine", 2.31, -0.05, ...row.slice(4)] : row)),
    },
  }),
  few: () => ({ traits: { board, rows: rows(10) } }),
  thousand: () => ({ traits: { board, rows: rows(1000) } }),
  many: () => ({ traits: { board, rows: rows(1000), review: "" } }),
};
