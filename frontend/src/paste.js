// A prompt on its way to a model elsewhere, and the model's reply on its way back: copy, paste, use.
// What can't be used comes with words for the model; what the person pasted stays.
import { adopt, attr, enable, h, shown, text, uid } from "./shared/dom.js";
import { copyText } from "./shared/copy.js";
import { icon } from "./shared/icons.js";
import { figure } from "./shared/numbers.js";
import { createStatus } from "./shared/status.js";
import { connect } from "./shared/talk.js";

const DRAFT_AFTER = 500; // ms without a key until a draft is sent

function render({ model, el }) {
  const root = adopt(el, "paste");
  const status = createStatus();
  const [replyId, nameId] = [uid("reply"), uid("model")];
  const where = h("span", { class: "ark-where" });
  const badge = h("span", { class: "ark-badge", testid: "badge" });
  const size = h("span", { class: "ark-muted", testid: "size" });
  const idea = h("div", { class: "ark-idea", testid: "idea" });
  const prompt = passage("prompt", "The prompt", "Copy the prompt", "It is on the clipboard.");
  const repair = passage(
    "repair",
    "What the model has to be told",
    "Copy this",
    "It is on the clipboard: send it to the model in the same conversation.",
  );
  const reply = h("textarea", {
    id: replyId,
    rows: 9,
    spellcheck: "false",
    autocomplete: "off",
    testid: "reply",
    oninput: draftSoon,
    onfocus: offer,
  });
  const name = h("input", {
    id: nameId,
    type: "text",
    size: 18,
    placeholder: "may stay empty",
    autocomplete: "off",
    testid: "model",
    oninput: draftSoon,
  });
  const useButton = h(
    "button",
    {
      type: "button",
      class: "ark-button ark-primary",
      testid: "use",
      title: "Make a proposal of it (Ctrl+Enter)",
      onclick: use,
    },
    icon("check"),
    "Use this reply",
  );
  const answer = h(
    "section",
    { class: "ark-step" },
    h(
      "div",
      { class: "ark-row" },
      h("label", { for: replyId, class: "ark-name" }, "2. Paste its whole reply"),
      h(
        "span",
        { class: "ark-muted" },
        "from the chat's own copy button: text that was selected may lack tags and fences",
      ),
    ),
    reply,
    h(
      "div",
      { class: "ark-row ark-act" },
      useButton,
      h("label", { for: nameId, class: "ark-muted" }, "Which model was it?"),
      name,
    ),
  );
  const back = h(
    "section",
    { class: "ark-step ark-back", testid: "back" },
    h(
      "div",
      { class: "ark-row" },
      h("b", { class: "ark-name" }, icon("again"), "Send this back to the model, then paste its new reply above"),
      repair.button,
    ),
    repair.body,
  );
  const made = h("div", { class: "ark-made", testid: "made" });
  const work = h(
    "div",
    { class: "ark-work" },
    h(
      "section",
      { class: "ark-step" },
      h(
        "div",
        { class: "ark-row" },
        h("b", { class: "ark-name" }, "1. Give this prompt to a model"),
        prompt.button,
        size,
      ),
      idea,
      prompt.body,
    ),
    answer,
  );
  root.append(h("div", { class: "ark-row" }, where, badge), work, made, status.dom, back);
  root.setAttribute("role", "region");

  let page = {}; // as last shown
  let draftTimer = 0;
  let busy = false;
  let stale = false; // the reply in the box was looked at: the next one takes its place

  const talk = connect({
    model,
    status,
    again: "start it and run this cell again; what you pasted comes back.",
    over: () => Boolean(page.made),
    answered({ to, ok }) {
      if (to !== "use") return;
      hold(false);
      stale = !ok;
    },
    gaveUp: () => hold(false),
  });

  /** Make a text to be copied, and the button that does it. */
  function passage(testid, title, label, done) {
    const body = h("pre", { tabindex: "0", "aria-label": title, testid });
    const copy = async () => {
      const how = await copyText(body);
      if (how === "copied") status.mention(done);
      else status.say("The browser doesn't let a page copy. The text is selected: press Ctrl+C.");
    };
    const button = h(
      "button",
      { type: "button", class: "ark-button", testid: `copy-${testid}`, onclick: copy },
      icon("copy"),
      label,
    );
    return { body, button };
  }

  function hold(yes) {
    busy = yes;
    enable(useButton, !yes);
  }

  function use() {
    if (busy || page.made) return;
    if (!reply.value.trim()) {
      status.say("There is no reply yet: paste what the model answered.", "error");
      reply.focus();
      return;
    }
    clearTimeout(draftTimer);
    draftTimer = 0;
    hold(true);
    talk.ask({ type: "use", ...typed() }, "Reading the reply…");
  }

  const typed = () => ({ id: page.id, reply: reply.value, model: name.value.trim() });

  function draftSoon() {
    stale = false;
    clearTimeout(draftTimer);
    draftTimer = setTimeout(sendDraft, DRAFT_AFTER);
  }

  function sendDraft() {
    if (draftTimer) talk.tell({ type: "draft", ...typed() });
    clearTimeout(draftTimer);
    draftTimer = 0;
  }

  /** Select a reply that could not be used, so that pasting the next one replaces it. */
  function offer() {
    if (stale) reply.select();
    stale = false;
  }

  function show(next) {
    const inside = root.contains(document.activeElement);
    if (next.id !== page.id) {
      reply.value = next.reply ?? "";
      name.value = next.model ?? "";
      if (next.made) status.say("Run this cell again: it returns the proposal.", "ok");
      else if (next.reply) status.say("What you had pasted is back.");
    }
    page = next;
    root.dataset.status = page.made ? "made" : page.repair ? "repair" : "waiting";
    root.setAttribute("aria-label", `A model's reply for ${page.campaign}`);
    text(where, `${page.campaign}, on top of ${String(page.parent ?? 0).padStart(4, "0")}`);
    badge.replaceChildren(
      icon(page.made ? "check" : "clock"),
      page.made ? "a proposal was made of it" : "waits for a model's reply",
    );
    text(size, `about ${figure(page.tokens)} tokens${leftOut(page.left_out)}`);
    text(idea, page.idea ? `Asked for: ${page.idea}` : "");
    shown(idea, page.idea);
    text(prompt.body, page.prompt ?? "");
    text(repair.body, page.repair ?? "");
    shown(back, page.repair && !page.made);
    text(made, page.made ?? "");
    shown(made, page.made);
    shown(work, !page.made);
    attr(root, "data-tries", page.tries || null);
    // What was focused and is gone now would leave the keyboard nowhere.
    if (inside && page.made) status.focus();
  }

  const leftOut = (names) => (names?.length ? `; left out for length: ${names.join(", ")}` : "");

  function onKey(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    use();
  }

  const both = () => ({ ...model.get("page"), ...model.get("now") });
  const onNow = () => {
    talk.alive();
    show(both());
  };
  root.addEventListener("keydown", onKey, true);
  model.on("change:now", onNow);
  show(both());

  return () => {
    sendDraft();
    model.off("change:now", onNow);
    root.removeEventListener("keydown", onKey, true);
    talk.close();
  };
}

export default { render };
