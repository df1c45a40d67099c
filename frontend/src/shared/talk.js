// Messages to and from the kernel, with an eye on whether anybody answers.

const PATIENCE = 5000; // ms until a question without an answer is mentioned

/**
 * Connect a view to its kernel.
 *
 * `handlers` maps a message's type to a function; `answered(message)` is called for each answer
 * and `gaveUp(to)` when none came in time or the kernel went away, so that buttons come back to
 * life. `again` is a sentence: what to do when the kernel is gone.
 */
export function connect({ model, el, status, again, handlers = {}, answered = () => {}, gaveUp = () => {} }) {
  let waiting = null; // { to, timer }

  function settle() {
    if (waiting) clearTimeout(waiting.timer);
    waiting = null;
  }

  function giveUp(message) {
    const to = waiting?.to ?? "";
    settle();
    status.say(message, "error");
    gaveUp(to);
  }

  const gone = () => giveUp(`The kernel is gone; nothing you typed is lost. ${again}`);

  // ipywidgets marks a view whose kernel went away with this class; anywidget shows no flag.
  const isGone = () => el.closest(".jupyter-widgets-disconnected") !== null;

  function onMessage(message) {
    if (message?.type === "answer") {
      if (waiting && waiting.to === message.to) settle();
      if (message.text) status.say(message.text, message.ok ? "ok" : "error");
      answered(message);
    } else {
      if (waiting && message?.type !== "ping") settle(); // it is alive and at work
      handlers[message?.type]?.(message);
    }
  }

  // The class is set by a listener that may come after this one.
  const onLive = () => setTimeout(() => isGone() && gone(), 0);

  model.on("msg:custom", onMessage);
  model.on("comm_live_update", onLive);

  function send(message) {
    try {
      model.send(message);
      return !isGone();
    } catch {
      return false; // the comm is closed
    }
  }

  return {
    /** Send without waiting for an answer. */
    tell: send,
    /** Send, say `busy` meanwhile, and expect an answer. */
    ask(message, busy) {
      settle();
      status.say(busy, "busy");
      const to = message.type;
      waiting = { to, timer: 0 };
      if (!send(message)) return gone();
      waiting.timer = setTimeout(
        () =>
          giveUp(
            `No answer for ${PATIENCE / 1000} s: the kernel is busy with a cell, or gone. If it is gone: ${again}`,
          ),
        PATIENCE,
      );
    },
    /** The kernel was heard of in another way, which is an answer too. */
    alive: settle,
    close() {
      settle();
      model.off("msg:custom", onMessage);
      model.off("comm_live_update", onLive);
    },
  };
}
