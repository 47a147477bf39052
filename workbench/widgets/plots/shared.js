// What charts and timeline have in common in the page.

// Names come escaped, for plotly's own small HTML: as plain text they are read back.
const plainText = (text) => String(text ?? "").replace(/<[^>]*>/g, " ").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

// Who points at a step says so in an event "wb-step" ({step}, null when nothing is pointed at any more); the charts and the
// timeline of the same dashboard listen.
const homeOf = (element) => element.closest?.(".wb-scaled") ?? element;
const pointAt = (element, step) => element.dispatchEvent(new CustomEvent("wb-step", { bubbles: true, detail: { step } }));
