"""What tests of pages share: reading their elements, and looking at them in Chromium (see the fixture `browser`)."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """What a page consists of: (tag, attributes), text, and that every element is closed."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text += text


def visiting(browser, file, width=1000, scheme="light"):
    """Open a page on a screen of some width; gives `js`, which computes something in it."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(file.as_uri())
    return lambda code: browser.execute_script(f"return {code}")


SHOWN = "[...document.querySelectorAll('.clock')].filter(e => e.offsetHeight).map(e => e.className)"


def press(browser, *keys):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        ActionChains(browser).send_keys(getattr(Keys, key)).perform()


# WCAG 2.1: text stands off its ground by 4.5 at least, a line or a dot by 3.
CONTRAST = """(() => {
  const dot = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = colour => {
    dot.fillStyle = colour;
    dot.fillRect(0, 0, 1, 1);
    return [...dot.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255);
  };
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => c.map(linear).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = e => {
    const colour = getComputedStyle(e).backgroundColor;
    return / 0\\)$/.test(colour) ? ground(e.parentElement) : colour;
  };
  const ratio = (a, b) => {
    const [dark, bright] = [light(rgb(a)), light(rgb(b))].sort((p, q) => p - q);
    return (bright + .05) / (dark + .05);
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())) continue;
    if (e.namespaceURI.includes("svg")) continue;
    const r = ratio(getComputedStyle(e).color, ground(e));
    if (r < 4.5) found.push([e.outerHTML.slice(0, 90), r]);
  }
  for (const e of document.querySelectorAll(".line, .dot, .frame")) {
    const r = ratio(getComputedStyle(e).stroke, ground(e.closest("div, section")));
    if (r < 3) found.push([e.outerHTML.slice(0, 90), r]);
  }
  return found;
})()"""
