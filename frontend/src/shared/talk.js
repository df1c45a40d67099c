// Messages to and from the kernel, with an eye on whether anybody answers.

const PATIENCE = 5000; // ms until a question without an answer is given up
const LOOK_AGAIN = 1000; // ms between looks at a kernel that is busy

/**
 * Connect a view to its kernel.
 *
 * `handlers` maps a message's type to a function; `answered(message)` is called for each answer
 * and `gaveUp(to)` when none came in time or the kernel went away, so that buttons come back to
 * life; a kernel that is busy with a cell answers after it, and is waited for. `again` says what to
 * do when the kernel is gone, and `over()` whether that no longer matters.
 */
export function connect({
  model,
  status,
  again,
  handlers = {},
  answered = () => {},
  gaveUp = () => {},
  over = () => false,
}) {
  let waiting = null; // { to, timer, since }: `since` the question or the end of a busy cell

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

  function gone() {
    if (over()) settle();
    else giveUp(`The kernel is gone; nothing you typed is lost. To go on, ${again}`);
  }

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

  function look() {
    // What JupyterLab's widget manager knows; other front ends may not tell.
    if (model.widget_manager?.kernel?.status === "busy") {
      status.say("The kernel is busy with a cell. This is kept, and done when the cell ends.", "busy");
      waiting.since = Date.now();
    } else if (Date.now() - waiting.since >= PATIENCE) {
      return giveUp(
        `No answer for ${PATIENCE / 1000} s: the kernel is busy with a cell, or gone. If it is gone, ${again}`,
      );
    }
    waiting.timer = setTimeout(look, LOOK_AGAIN);
  }

  function send(message) {
    try {
      model.send(message);
      return true;
    } catch {
      return false; // the comm is closed: the kernel restarted or died
    }
  }

  // anywidget says that something about the connection changed, not what; a message finds out,
  // once the front end has cleared up behind the old kernel.
  let probe = 0;
  const onLive = () => {
    clearTimeout(probe);
    probe = setTimeout(() => send({ type: "pong" }) || gone(), 100);
  };

  model.on("msg:custom", onMessage);
  model.on("comm_live_update", onLive);

  return {
    /** Send without waiting for an answer. */
    tell: send,
    /** Send, say `busy` meanwhile, and expect an answer. */
    ask(message, busy) {
      settle();
      status.say(busy, "busy");
      const to = message.type;
      waiting = { to, timer: 0, since: Date.now() };
      if (!send(message)) return gone();
      waiting.timer = setTimeout(look, LOOK_AGAIN);
    },
    /** The kernel was heard of in another way, which is an answer too. */
    alive: settle,
    close() {
      settle();
      clearTimeout(probe);
      model.off("msg:custom", onMessage);
      model.off("comm_live_update", onLive);
    },
  };
}
