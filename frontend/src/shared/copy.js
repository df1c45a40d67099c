// Text to the clipboard, with or without the browser's leave.

/**
 * Copy the text that `element` shows and return "copied"; where the browser doesn't allow that
 * (a page without https, an embedded frame) the text is selected, ready for Ctrl+C: "selected".
 */
export async function copyText(element, { navigator, document } = globalThis) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return "copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(element);
    element.focus();
    const selection = document.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }
  try {
    // The old way needs no leave in some places where the new one does.
    if (document.execCommand("copy")) return "copied";
  } catch {
    // It is selected all the same.
  }
  return "selected";
}
