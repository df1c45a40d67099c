// What opens below the buttons: a reason to refuse, or feedback and the reply to it.
import { enable, h, shown, text, uid } from "../shared/dom.js";

/** Collapse white space: program.md gets one bullet, whatever the person pasted. */
export const oneLine = (value) => value.trim().replace(/\s+/g, " ");

/** The bullet that the kernel appends to program.md: `program.preview`, said again here. */
export function bullet(line) {
  return `- Never again: ${oneLine(line).replace(/^([-*+](\s+|$)|never again\b:?\s*)+/i, "")}`;
}

function panel(testid, title, submit, close, ...content) {
  const dom = h(
    "form",
    { class: "ark-panel", testid, "aria-label": title, hidden: true, novalidate: true },
    ...content,
  );
  dom.addEventListener("submit", (event) => {
    event.preventDefault(); // a form would load the page anew
    submit();
  });
  dom.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  });
  return dom;
}

/** The panel that asks for a reason; `send({reason, never_again})`. */
export function createRefuse({ send, close, say }) {
  const [reasonId, lineId] = [uid("reason"), uid("line")];
  const reason = h("textarea", {
    id: reasonId,
    rows: 2,
    required: true,
    testid: "refuse-reason",
    "aria-required": "true",
  });
  const never = h("input", { type: "checkbox", testid: "never-again" });
  const line = h("input", {
    id: lineId,
    type: "text",
    testid: "never-again-line",
    autocomplete: "off",
  });
  const preview = h("ins", {
    class: "ark-preview",
    testid: "never-again-preview",
    "aria-live": "polite",
  });
  const target = h("code");
  const ask = h("label", { class: "ark-check" }, never, " Never again: append a line to ", target);
  const box = h(
    "div",
    { class: "ark-never" },
    h("label", { for: lineId }, "The line"),
    line,
    preview,
  );
  const go = h(
    "button",
    { type: "submit", class: "ark-button ark-danger", testid: "refuse-send" },
    "Refuse",
  );
  const cancel = h(
    "button",
    { type: "button", class: "ark-button", testid: "refuse-cancel", onclick: () => close() },
    "Cancel",
  );
  let own = false; // the line follows the reason until the person gives it words of its own

  function submit() {
    if (!reason.value.trim()) {
      say("A refusal needs a reason: the next proposal learns from it.", "error");
      reason.focus();
      return;
    }
    const words = never.checked ? oneLine(line.value) : "";
    if (never.checked && !words) {
      say("The line for program.md is empty: write one or clear 'never again'.", "error");
      line.focus();
      return;
    }
    send({ reason: reason.value.trim(), never_again: words });
  }

  function follow() {
    if (!own) line.value = oneLine(reason.value);
    shown(box, never.checked);
    text(preview, `+ ${bullet(line.value)}`);
  }
  reason.addEventListener("input", follow);
  never.addEventListener("change", follow);
  line.addEventListener("input", () => {
    own = line.value !== "";
    shown(box, true);
    text(preview, `+ ${bullet(line.value)}`);
  });
  const dom = panel(
    "refuse-panel",
    "Refuse",
    submit,
    close,
    h("label", { for: reasonId }, "Why? The next proposer reads it."),
    reason,
    ask,
    box,
    h("div", { class: "ark-row" }, go, cancel),
  );
  follow();

  return {
    dom,
    submit,
    focus: () => reason.focus(),
    /** Fill in what is known about the page; what the person typed stays. */
    show(page) {
      shown(ask, page.program);
      if (!page.program) never.checked = false;
      text(target, page.program ?? "");
      follow();
    },
    get typed() {
      return { reason: reason.value, never: never.checked, line: line.value, own };
    },
    set typed(kept) {
      reason.value = kept?.reason ?? "";
      never.checked = kept?.never ?? false;
      line.value = kept?.line ?? "";
      own = kept?.own ?? false;
      follow();
    },
    enable: (yes) => enable(go, yes),
  };
}

/** The panel that asks for another try; `send({feedback})`. */
export function createRevise({ send, close, say }) {
  const id = uid("feedback");
  const feedback = h("textarea", {
    id,
    rows: 3,
    required: true,
    testid: "revise-feedback",
    "aria-required": "true",
  });
  const earlier = h("ol", {
    class: "ark-earlier",
    "aria-label": "Earlier feedback",
    testid: "earlier-feedback",
  });
  const go = h(
    "button",
    { type: "submit", class: "ark-button ark-primary", testid: "revise-send" },
    "Ask to revise",
  );
  const cancel = h(
    "button",
    { type: "button", class: "ark-button", testid: "revise-cancel", onclick: () => close() },
    "Close",
  );
  const reply = h("pre", {
    class: "ark-reply",
    tabindex: "0",
    "aria-label": "The proposer's reply",
    testid: "revise-reply",
    hidden: true,
  });

  function submit() {
    if (!feedback.value.trim()) {
      say("Say what should be different: the proposer gets your words.", "error");
      feedback.focus();
      return;
    }
    send({ feedback: feedback.value.trim() });
  }

  const dom = panel(
    "revise-panel",
    "Ask to revise",
    submit,
    close,
    h("label", { for: id }, "What should be different?"),
    feedback,
    earlier,
    h("div", { class: "ark-row" }, go, cancel),
    reply,
  );

  return {
    dom,
    submit,
    focus: () => feedback.focus(),
    /** Put lines of the patch before the cursor's place, as a comment on them begins. */
    quote(lines) {
      if (!lines || feedback.value.includes(lines)) return;
      feedback.value = `${feedback.value}${feedback.value.trim() ? "\n\n" : ""}${lines}`;
    },
    show(page) {
      const list = page.feedback ?? [];
      shown(earlier, list.length);
      earlier.replaceChildren(...list.map((words) => h("li", {}, words)));
    },
    begin() {
      text(reply, "");
      shown(reply, true);
    },
    /** Add a piece of the reply, and keep its end in sight unless the person scrolled up. */
    append(piece) {
      const follow = reply.scrollTop + reply.clientHeight >= reply.scrollHeight - 8;
      reply.append(piece);
      if (follow) reply.scrollTop = reply.scrollHeight;
    },
    get typed() {
      return feedback.value;
    },
    set typed(kept) {
      feedback.value = kept ?? "";
      shown(reply, false);
    },
    enable: (yes) => enable(go, yes),
  };
}
