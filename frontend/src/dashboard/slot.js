// The place of the review widget within the dashboard.
import { h } from "../shared/dom.js";

/** Make the slot; `show(reference)` takes "IPY_MODEL_<id>", and "" for nothing. */
export function createSlot(model) {
  const empty = h("p", { class: "ark-empty", testid: "empty-slot" }, "Nothing waits for you.");
  const dom = h("div", { class: "ark-slot", testid: "slot" }, empty);
  let reference = "";
  let view = null;

  async function show(next) {
    if (next === reference) return;
    reference = next;
    view?.remove();
    view = null;
    dom.replaceChildren(empty);
    if (!next) return;
    let made = null;
    try {
      const child = await model.widget_manager.get_model(
        next.replace(/^(IPY_MODEL_|anywidget:)/, ""),
      );
      made = await model.widget_manager.create_view(child);
    } catch (error) {
      // A saved notebook without its kernel: there is no model to show.
      console.debug("autoresearch-kit: no review to embed", error);
      return;
    }
    if (reference !== next) {
      made.remove(); // another one, or the end of this view, came first
      return;
    }
    view = made;
    dom.replaceChildren(view.el);
    // ipywidgets waits for the layout manager's news, which nobody sends to a view placed by hand.
    view.trigger?.("displayed");
  }

  return {
    dom,
    show,
    destroy() {
      reference = null;
      view?.remove();
      view = null;
    },
  };
}
