// The review of one proposal: read, edit, then approve, refuse, or ask for another try.
// The kernel sends a whole page; everything the person types stays here until it is sent.
import { adopt, enable, h, shown, text, uid } from "./shared/dom.js";
import { icon } from "./shared/icons.js";
import { moment } from "./shared/numbers.js";
import { createStatus } from "./shared/status.js";
import { connect } from "./shared/talk.js";
import { createFiles } from "./review/files.js";
import { createHeader } from "./review/header.js";
import { createRefuse, createRevise } from "./review/panels.js";

const AGAIN = "ark.review(campaign.pending())"; // what brings a review back after the kernel went
const DRAFT_AFTER = 500; // ms without a key until a draft is sent
const words = {
  approved: "Approved",
  refused: "Refused",
  revised: "Sent back for another try",
  rebased: "Moved to a newer parent",
};
const marks = { approved: "check", refused: "cross", revised: "again", rebased: "again" };

function render({ model, el }) {
  const root = adopt(el, "review");
  const status = createStatus();
  const say = (message, kind) => status.say(message, kind);
  const header = createHeader({
    go: (step) => talk.ask({ type: "go", step }, "Turning the page…"),
  });
  const files = createFiles({ onEdit: draftSoon, onEscape: leaveEditor, say });
  const refuse = createRefuse({
    send: (typed) => decide({ type: "refuse", ...typed }, "Refusing…"),
    close: () => open(null, refuseButton),
    say,
  });
  const revise = createRevise({
    send: (typed) => decide({ type: "revise", ...typed }, "Asking the proposer…"),
    close: () => open(null, reviseButton),
    say,
  });

  const guessId = uid("guess");
  const guess = h("input", {
    id: guessId,
    type: "text",
    inputmode: "decimal",
    size: 8,
    placeholder: "-0.01",
    autocomplete: "off",
    testid: "guess",
  });
  const unit = h("span", { class: "ark-muted" });
  const button = (testid, look, label, title, action, name) =>
    h(
      "button",
      { type: "button", class: `ark-button ${look}`, testid, title, onclick: action },
      icon(name),
      label,
    );
  const approveButton = button(
    "approve",
    "ark-primary",
    "Approve",
    "Approve the text as it stands (Ctrl+Enter)",
    approve,
    "check",
  );
  const refuseButton = button(
    "refuse",
    "",
    "Refuse…",
    "Refuse, with a reason (Alt+R)",
    () => open(refuse),
    "cross",
  );
  const reviseButton = button(
    "revise",
    "",
    "Ask to revise…",
    "Feedback to the proposer, who tries again; quotes the lines that are selected (Alt+V)",
    askToRevise,
    "again",
  );
  const keys = h(
    "details",
    { class: "ark-keys" },
    h("summary", {}, "keys"),
    h(
      "div",
      {},
      "Ctrl+Enter approve · Alt+R refuse · Alt+V ask to revise (quotes selected lines) · Alt+N / Alt+P next / previous change · Alt+Z take the change at the cursor back · Ctrl+F search · Esc leaves the editor",
    ),
  );
  const choices = h(
    "div",
    { class: "ark-choices" },
    approveButton,
    refuseButton,
    reviseButton,
    h(
      "span",
      { class: "ark-guess" },
      h("label", { for: guessId }, "Your guess of the effect"),
      guess,
      unit,
    ),
    keys,
  );
  const decided = h("div", { class: "ark-decided", testid: "decided" });
  const bar = h("div", { class: "ark-bar", testid: "bar" }, choices, decided);
  const prompt = fold("prompt", "Prompt");
  const reply = fold("reply", "Reply");
  const empty = h(
    "p",
    { class: "ark-empty", testid: "empty" },
    icon("check"),
    "Nothing waits for you.",
  );
  // Within the dashboard the upper part scrolls and the rest stays in sight: see dashboard.css.
  const upper = h("div", { class: "ark-upper" }, header.dom, files.dom);
  const sheet = h("div", { class: "ark-sheet" }, upper, bar);
  const lower = h("div", { class: "ark-lower" }, refuse.dom, revise.dom, prompt.dom, reply.dom);
  root.append(empty, sheet, status.dom, lower);
  root.setAttribute("role", "region");

  let page = {}; // as last shown
  const kept = new Map(); // id -> what the person typed, while another page is shown
  let draftTimer = 0;
  let busy = "";

  const talk = connect({
    model,
    status,
    again: `start it and type: ${AGAIN}`,
    over: () => page.status !== "open",
    handlers: {
      ping: () => talk.tell({ type: "pong" }),
      stream(message) {
        if (message.state === "begin") {
          open(revise, null);
          revise.begin();
          hold("revise");
          say("The proposer writes…", "busy");
        } else hold("");
      },
      append: (message) => revise.append(message.text),
    },
    answered: ({ to }) => to === busy && hold(""),
    gaveUp: () => hold(""),
  });

  // While one decision is under way there is no second; the texts stay editable.
  function hold(name) {
    busy = name;
    for (const part of [approveButton, refuseButton, reviseButton]) enable(part, !name);
    refuse.enable(!name);
    revise.enable(!name);
  }

  function decide(message, busyWords) {
    if (busy) return;
    hold(message.type);
    talk.ask({ ...message, id: page.id }, busyWords);
  }

  function approve() {
    if (busy) return;
    const value = guess.value.trim().replace("−", "-");
    if (value && !Number.isFinite(Number(value))) {
      say(
        `The guess '${guess.value}' is not a number; write for example -0.01, or nothing.`,
        "error",
      );
      guess.focus();
      return;
    }
    sendDraft();
    decide({ type: "approve", files: files.texts(), guess: value }, "Approving…");
  }

  function draftSoon() {
    clearTimeout(draftTimer);
    draftTimer = setTimeout(sendDraft, DRAFT_AFTER);
  }

  function sendDraft() {
    if (draftTimer) talk.tell({ type: "draft", id: page.id, files: files.texts() });
    clearTimeout(draftTimer);
    draftTimer = 0;
  }

  /** Open one of the panels or none; what a person asked for gets the focus. */
  function open(panel, focus = panel) {
    shown(refuse.dom, panel === refuse);
    shown(revise.dom, panel === revise);
    refuseButton.setAttribute("aria-expanded", String(panel === refuse));
    reviseButton.setAttribute("aria-expanded", String(panel === revise));
    focus?.focus();
  }

  function askToRevise() {
    revise.quote(files.quote());
    open(revise);
  }

  function leaveEditor() {
    (page.status === "open" ? approveButton : status.dom).focus();
    return true;
  }

  /** Show a page. One that is already open keeps its editors and all that was typed. */
  function show(next) {
    const inside = root.contains(document.activeElement);
    const same = next.id === page.id && next.status === page.status && sameFiles(next, page);
    if (page.id && !same) keep();
    const turned = next.id !== page.id;
    page = next;
    const something = Boolean(page.id);
    shown(empty, !something);
    shown(sheet, something);
    shown(lower, something);
    root.dataset.status = page.status ?? "empty";
    root.setAttribute(
      "aria-label",
      something ? `Review of a proposal for ${page.campaign}` : "Review",
    );
    if (!something) {
      files.destroy();
      header.destroy();
      return;
    }
    header.show(page);
    if (!same) restore(turned);
    refuse.show(page);
    revise.show(page);
    shown(reviseButton, page.can_revise);
    text(unit, page.metric ?? "");
    prompt.show(page.prompt);
    reply.show(page.reply);
    showDecision();
    // What was focused and is gone now would leave the keyboard nowhere.
    if (inside && !visible(document.activeElement)) (turned ? header : status).focus();
  }

  const visible = (element) =>
    root.contains(element) && element.checkVisibility({ visibilityProperty: true });

  function sameFiles(a, b) {
    const of = ({ files: list }) => JSON.stringify((list ?? []).map((f) => [f.path, f.old, f.new]));
    return of(a) === of(b);
  }

  function keep() {
    sendDraft();
    kept.set(page.id, {
      texts: files.edited() ? files.texts() : null,
      guess: guess.value,
      refuse: refuse.typed,
      revise: revise.typed,
    });
  }

  function restore(turned) {
    const before = kept.get(page.id);
    files.show(page, before?.texts);
    guess.value = before?.guess ?? "";
    refuse.typed = before?.refuse;
    revise.typed = before?.revise;
    hold("");
    open(null, null);
    if (page.status !== "open") return;
    const drafts = (page.files ?? []).filter(
      (file) => file.draft !== null && file.draft !== undefined && file.draft !== file.new,
    );
    if (!before && drafts.length)
      say(`Your edits of ${drafts.map((file) => file.path).join(", ")} were restored.`, "info");
    else if (turned) status.clearOlder(2000);
  }

  function showDecision() {
    const isOpen = page.status === "open";
    // Hidden but in place: the bar keeps its height when the buttons go.
    choices.style.visibility = isOpen ? "" : "hidden";
    shown(decided, !isOpen);
    if (isOpen) return;
    const { by, reason, at, edited } = page.decided ?? {};
    const who = [words[page.status] ?? page.status, by && `by ${by}`, at && moment(at)]
      .filter(Boolean)
      .join(" ");
    decided.replaceChildren(
      icon(marks[page.status] ?? "info"),
      h("b", {}, who),
      edited ? h("span", { class: "ark-tag" }, "edited by hand") : "",
      h("span", { class: "ark-reason" }, reason ?? ""),
    );
  }

  function onKey(event) {
    const command = event.ctrlKey || event.metaKey;
    let action = null;
    if (command && !event.altKey && event.key === "Enter") {
      action = refuse.dom.contains(event.target)
        ? refuse.submit
        : revise.dom.contains(event.target)
          ? revise.submit
          : approve;
    } else if (event.altKey && !command && !event.shiftKey) {
      // By the key's place: with Alt a Mac types other letters.
      action = {
        KeyR: () => open(refuse),
        KeyV: () => page.can_revise && askToRevise(),
        KeyN: () => files.step(1),
        KeyP: () => files.step(-1),
        KeyZ: () => files.revert(),
      }[event.code];
    }
    if (!action || !page.id) return;
    event.preventDefault();
    event.stopPropagation();
    const moves = event.code === "KeyN" || event.code === "KeyP";
    if (moves || (page.status === "open" && !busy)) action();
  }

  const onPage = () => {
    talk.alive();
    show(model.get("page") ?? {});
  };
  // In the capture phase, so that no key map of the editor comes first.
  root.addEventListener("keydown", onKey, true);
  model.on("change:page", onPage);
  onPage();
  // A ping that came before this view was there is answered now.
  talk.tell({ type: "pong" });

  return () => {
    sendDraft();
    model.off("change:page", onPage);
    root.removeEventListener("keydown", onKey, true);
    talk.close();
    header.destroy();
    files.destroy();
  };
}

function fold(testid, title) {
  const body = h("pre", { tabindex: "0", "aria-label": title });
  const dom = h("details", { class: "ark-fold", testid }, h("summary", {}, title), body);
  return {
    dom,
    show(value) {
      shown(dom, value);
      text(body, value ?? "");
    },
  };
}

export default { render };
