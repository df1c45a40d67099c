// Copying, where the browser allows it and where it doesn't: `npm test`.
import assert from "node:assert/strict";
import test from "node:test";
import { copyText } from "../src/shared/copy.js";

/** A browser of the parts that copying touches; `may` says what it allows. */
function browser(may) {
  const seen = { clipboard: "", selected: null, focused: false };
  const element = { textContent: "a prompt\n\twith tabs", focus: () => (seen.focused = true) };
  const refuse = async () => {
    throw new Error("NotAllowedError");
  };
  return {
    seen,
    element,
    navigator: may.secure
      ? { clipboard: { writeText: may.write ? async (t) => void (seen.clipboard = t) : refuse } }
      : {}, // without https there is no clipboard at all
    document: {
      createRange: () => ({ selectNodeContents: (node) => (seen.selected = node) }),
      getSelection: () => ({ removeAllRanges() {}, addRange() {} }),
      execCommand(name) {
        if (may.command === undefined) throw new Error("gone");
        assert.equal(name, "copy");
        return may.command;
      },
    },
  };
}

test("the text goes to the clipboard, and nothing is selected", async () => {
  const { seen, element, ...rest } = browser({ secure: true, write: true });
  assert.equal(await copyText(element, rest), "copied");
  assert.equal(seen.clipboard, element.textContent);
  assert.equal(seen.selected, null);
});

for (const [name, may, result] of [
  ["a page without https copies in the old way", { command: true }, "copied"],
  ["a frame that may not write copies in the old way", { secure: true, command: true }, "copied"],
  ["where nothing is allowed the text is selected", { secure: true, command: false }, "selected"],
  ["... also where the old way is gone", {}, "selected"],
])
  test(name, async () => {
    const { seen, element, ...rest } = browser(may);
    assert.equal(await copyText(element, rest), result);
    assert.equal(seen.selected, element);
    assert.ok(seen.focused);
  });
