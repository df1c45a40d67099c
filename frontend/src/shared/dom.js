// Elements without a framework. Text always goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: h("button", { class: "x", testid: "approve", onclick: f }, "Approve").
 * Children are nodes or text; null and false are left out.
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(el, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "testid") el.setAttribute("data-testid", value);
    else el.setAttribute(key, value === true ? "" : String(value));
  }
  el.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return el;
}

/** Set text only when it differs: an unchanged node costs no layout and no announcement. */
export function text(el, value) {
  if (el.textContent !== value) el.textContent = value;
}

/** Set an attribute only when it differs; null removes it. */
export function attr(el, name, value) {
  if (value === null || value === undefined) el.removeAttribute(name);
  else if (el.getAttribute(name) !== String(value)) el.setAttribute(name, String(value));
}

/** Show or hide; a hidden element is out of the tab order too. */
export function shown(el, yes) {
  if (el.hidden === Boolean(yes)) el.hidden = !yes;
}

/** Switch a button on or off in a way that leaves the keyboard's focus on it. */
export function enable(button, yes) {
  attr(button, "aria-disabled", yes ? null : "true");
}

let count = 0;

/** A document-wide unique id, for labels: one notebook shows several views of one model. */
export function uid(prefix) {
  count += 1;
  return `ark-${prefix}-${count}-${Math.random().toString(36).slice(2, 7)}`;
}

/**
 * Prepare the element that anywidget hands over, and keep the notebook's shortcuts out of it.
 * JupyterLab listens in the capture phase, so only its own opt-out attribute stops it; other
 * front ends bubble.
 */
export function adopt(el, name) {
  el.dataset.lmSuppressShortcuts = "true";
  const root = h("div", { class: `ark ark-${name}`, testid: name });
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.addEventListener("keydown", (event) => {
    // With the notebook's shortcuts off, Ctrl+S would open the browser's own save dialog.
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key === "s")
      event.preventDefault();
  });
  el.replaceChildren(root);
  return root;
}
