// Shows a built widget on sample data, with a stand-in for the model that anywidget hands over.
// window.harness = { model, sent, answer } is there for a browser test or the console.
import { samples } from "./samples.js";

class Model {
  constructor(traits, widgets = {}) {
    this.traits = traits;
    this.sent = [];
    this.heard = new Map();
    this.widget_manager = {
      get_model: async (id) => widgets[id],
      create_view: async (model) => {
        const el = document.createElement("div");
        const off = await show("review", model, el);
        return { el, trigger() {}, remove: () => (off(), el.remove()) };
      },
    };
  }
  get(name) {
    return this.traits[name];
  }
  set(name, value) {
    this.traits[name] = value;
    this.fire(`change:${name}`);
  }
  on(name, callback) {
    this.heard.set(name, [...(this.heard.get(name) ?? []), callback]);
  }
  off(name, callback) {
    this.heard.set(
      name,
      (this.heard.get(name) ?? []).filter((f) => f !== callback),
    );
  }
  fire(name, ...args) {
    for (const callback of this.heard.get(name) ?? []) callback(...args);
  }
  /** What the kernel would send. */
  receive(message) {
    this.fire("msg:custom", message, []);
  }
  send(message) {
    if (this.closed) throw new Error("the comm is closed");
    this.sent.push(message);
    this.reply?.(message);
  }
  save_changes() {}
}

async function show(widget, model, el) {
  const link = document.createElement("link");
  Object.assign(link, { rel: "stylesheet", href: `../../autoresearch_kit/static/${widget}.css` });
  await new Promise((done) => {
    link.onload = done;
    document.head.append(link);
  });
  const { default: definition } = await import(`../../autoresearch_kit/static/${widget}.js`);
  return definition.render({ model, el });
}

const asked = new URLSearchParams(location.search);
const widget = asked.get("widget") ?? "review";
const theme = asked.get("theme");
if (theme) document.body.dataset.jpThemeLight = String(theme === "light");

const { traits, children } = samples[asked.get("sample") ?? widget]();
const models = Object.fromEntries(
  Object.entries(children ?? {}).map(([id, child]) => [id, new Model(child)]),
);
const model = new Model(traits, models);
// An obliging kernel: says yes to everything after a moment, unless ?silent=1.
if (!asked.get("silent")) {
  for (const each of [model, ...Object.values(models)]) {
    each.reply = ({ type, n }) => {
      if (type === "pong" || type === "draft") return;
      setTimeout(
        () =>
          each.receive(
            type === "card"
              ? { type, n, html: `<b>Experiment ${n}</b>` }
              : { type: "answer", to: type, ok: true, text: `${type}: done` },
          ),
        200,
      );
    };
  }
}
const el = document.querySelector("#view");
const start = performance.now();
const close = await show(widget, model, el);
window.harness = { model, models, close, ms: performance.now() - start };
document.body.dataset.ready = "true";
