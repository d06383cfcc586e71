"""A page in a real browser, headless: what is broken, cut off or too wide."""

import html
import json
import re
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
MORE = "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=5000"
LOOK = """
addEventListener("load", () => {
  const found = [], name = e => `${e.tagName.toLowerCase()}.${e.className}: ${(e.alt || e.textContent).slice(0, 60)}`
  const wide = innerWidth
  for (const e of document.images) {
    const place = e.getBoundingClientRect()
    if (!e.complete || !e.naturalWidth) found.push(`broken ${name(e)}`)
    else if (place.width < 100 || place.left < 0 || place.right > wide) found.push(`out of sight ${name(e)}`)
    if (!e.alt) found.push("no alt text")
  }
  for (const e of document.body.querySelectorAll("*")) {
    const scrolls = ["auto", "scroll"].includes(getComputedStyle(e).overflowX), right = e.getBoundingClientRect().right
    if (!scrolls && e.clientWidth && e.scrollWidth > e.clientWidth) found.push(`overflowing ${name(e)}`)
    if (!scrolls && !e.closest("div.wide") && right > wide + 1) found.push(`too wide ${name(e)}`)
  }
  const all = document.documentElement
  if (all.scrollWidth > all.clientWidth) found.push(`scrolls sideways: ${all.scrollWidth} > ${all.clientWidth}`)
  if (wide !== WIDTH) found.push(`${wide} wide`)
  const told = {found, images: document.images.length, height: all.scrollHeight}
  parent.postMessage(JSON.stringify(told), "*")
})
"""
FRAME = """<!doctype html><meta charset=utf-8>
<style>body { margin: 0 } iframe { border: 0; width: WIDTHpx; height: HEIGHTpx }</style>
<script>addEventListener("message", e => document.getElementById("told").textContent = e.data)</script>
<pre id=told></pre><iframe src="inside.html"></iframe>"""


def browser():
    """The browser's name, or a skip."""
    found = next((name for name in NAMES if shutil.which(name)), None)
    return found or pytest.skip(f"no browser on PATH: none of {', '.join(NAMES)}")


def look(text, width, folder, *more):
    """{"found": [what is wrong], "images": how many, "height": in pixels} of the page `text` in a window of `width`.

    The page is in a frame, because a window is at least 500 wide.
    """
    seen = text.replace("<body>", f"<body><script>{LOOK.replace('WIDTH', str(width))}</script>", 1)
    assert seen != text, "the page has no body"
    (folder / "inside.html").write_text(seen)
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)).replace("HEIGHT", "2600"))
    dump = _run(folder, width, "--dump-dom", folder / "frame.html")
    told = re.search(r'<pre id="told">(.*?)</pre>', dump, re.S)
    assert told and told[1], f"the page said nothing: {dump[-2000:]}"
    return json.loads(html.unescape(told[1]))


def photograph(text, width, height, folder, picture):
    """Writes what a reader sees to the file `picture`."""
    (folder / "inside.html").write_text(text)
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)).replace("HEIGHT", str(height)))
    _run(folder, width, f"--screenshot={picture}", f"--window-size={width},{height}", folder / "frame.html")


def _run(folder, width, *words):
    size = [] if any(str(word).startswith("--window-size") for word in words) else [f"--window-size={width},2600"]
    call = [browser(), *FLAGS.split(), *MORE.split(), f"--user-data-dir={folder / 'profile'}", *size, *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, timeout=120, check=True).stdout
