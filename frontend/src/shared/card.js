// One experiment's card: asked for by number, and shown when it comes.
import { attr, h, text } from "./dom.js";
import { number } from "./rows.js";

/**
 * `hint` is said behind the name of a card that has come; `missing(n)` stands in its place when it
 * does not come. `hears` is for `connect`, with no other messages in it.
 */
export function createCard({ status, hint, missing }) {
  const dom = h("div", { class: "ark-card", tabindex: "0", testid: "card" });
  let asked = null; // the number of the card that is on its way or shown

  function none() {
    if (dom.dataset.n) return; // an older one of the same experiment is better than none
    text(dom, missing(asked));
    attr(dom, "aria-busy", null);
  }

  return {
    dom,
    hears: {
      handlers: {
        card({ n, html }) {
          if (n !== asked) return; // the person has clicked on
          dom.innerHTML = html; // made by the kit, which escapes what it quotes
          dom.scrollTop = 0;
          dom.dataset.n = n;
          attr(dom, "aria-busy", null);
          status.mention(`Card of ${number(n)}${hint}.`);
        },
      },
      answered: ({ to, ok }) => to === "card" && !ok && none(),
      gaveUp: (to) => to === "card" && none(),
    },
    asked: () => asked,
    /** Ask for the card of an experiment. */
    open(n, talk) {
      asked = n;
      const opening = `Opening ${number(n)}…`;
      if (dom.dataset.n !== String(n)) {
        delete dom.dataset.n;
        text(dom, opening);
        attr(dom, "aria-busy", "true");
      }
      talk.ask({ type: "card", n }, opening);
    },
  };
}
