// Mark up to three visible elements of each look: colour, size and weight of the text, and the grounds on which it lies.
() => {
  const grounds = new Map([[null, ""]]), seen = new Map()
  const ground = element => {
    if (!grounds.has(element)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element)
      const own = [backgroundColor, backgroundImage, opacity].join(" ")
      const below = ground(element.parentElement)
      grounds.set(element, own === "rgba(0, 0, 0, 0) none 1" ? below : `${below} / ${own}`)
    }
    return grounds.get(element)
  }
  for (const element of document.body.querySelectorAll("*")) {
    element.removeAttribute("data-look")
    const texts = [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE && node.data.trim())
    const { color, fontSize, fontWeight, visibility } = getComputedStyle(element)
    if (!texts.length || visibility !== "visible" || !element.getClientRects().length) continue
    if (element.closest(".js-plotly-plot")) continue
    const look = [color, fontSize, fontWeight, ground(element)].join(" ")
    seen.set(look, (seen.get(look) ?? 0) + 1)
    if (seen.get(look) <= 3) element.setAttribute("data-look", "")
  }
}
