package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What people read loads from the relay alone, in one request, without a
// complaint of the browser (a tab's judge sees to that), and is a document that
// a screen reader can find its way in.
func TestPageLoads(t *testing.T) {
	b := newTab(t, relay(t))
	b.open("/docs")
	if n := len(b.requests); n != 1 {
		t.Errorf("%d requests for the page: %q", n, b.requests)
	}
	if title := ask[string](b, `document.title`); title != "linkrelay for developers" {
		t.Errorf("title %q", title)
	}
	for what, holds := range map[string]string{
		"a language":                   `document.documentElement.lang === "en"`,
		"landmarks":                    `document.querySelectorAll("main").length === 1 && !!document.querySelector("nav[aria-label]")`,
		"one first heading":            `document.querySelectorAll("h1").length === 1`,
		"no heading skips a level":     `[...document.querySelectorAll("main :is(h1,h2,h3,h4,h5)")].every((h, i, all) => i === 0 || +h.tagName[1] - +all[i-1].tagName[1] <= 1)`,
		"every part has its heading":   `["start","signing","link-peeler","iklim","signed-query","builder","practice","freshness","retries","diagnosis","rotation","vectors","desktops","reference","schemas","errors"].every(id => document.getElementById(id)?.textContent.trim())`,
		"ids are unique":               `(ids => new Set(ids).size === ids.length)([...document.querySelectorAll("[id]")].map(e => e.id))`,
		"tables have headings":         `[...document.querySelectorAll("table")].every(t => t.querySelector("th[scope=col]"))`,
		"what scrolls takes the focus": `[...document.querySelectorAll("pre, .scroll")].every(e => e.tabIndex === 0)`,
		"regions have names":           `[...document.querySelectorAll("[role=region], [role=img]")].every(e => e.getAttribute("aria-label"))`,
	} {
		if !ask[bool](b, holds) {
			t.Errorf("not so: %s", what)
		}
	}
	if bad := ask[[]string](b, `[...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.hash)`); len(bad) > 0 {
		t.Errorf("links to nowhere: %q", bad)
	}
}

// Each line of the table of contents leads to its heading.
func TestContentsLead(t *testing.T) {
	b := newTab(t, relay(t))
	b.open("/docs")
	lines := ask[[]string](b, `[...document.querySelectorAll("nav a")].map(a => a.hash)`)
	if len(lines) < 30 {
		t.Errorf("%d lines", len(lines))
	}
	for i, hash := range lines {
		ask[chromedp.Void](b, fmt.Sprintf(`document.querySelectorAll("nav a")[%d].focus()`, i))
		b.do(chromedp.KeyEvent(kb.Enter))
		if at := ask[string](b, `location.hash`); at != hash {
			t.Errorf("%s led to %s", hash, at)
		}
		if !ask[bool](b, fmt.Sprintf(`(r => r.top >= 0 && r.top < innerHeight)(document.getElementById(%q).getBoundingClientRect())`, hash[1:])) {
			t.Errorf("%s is not in sight after its line was followed", hash)
		}
	}
}

// Who has no mouse gets past the contents with two keys, and sees where he is.
func TestKeyboard(t *testing.T) {
	b := newTab(t, relay(t))
	b.open("/docs")
	b.do(chromedp.KeyEvent(kb.Tab))
	if !ask[bool](b, `document.activeElement.className === "skip" && document.activeElement.getBoundingClientRect().left >= 0 && getComputedStyle(document.activeElement).outlineStyle !== "none"`) {
		t.Error("the first stop is not the visible link past the contents")
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	if at := ask[string](b, `location.hash`); at != "#start" {
		t.Errorf("it leads to %q", at)
	}
	b.do(chromedp.KeyEvent(kb.Tab))
	if !ask[bool](b, `!document.activeElement.closest("nav") && !!document.activeElement.closest("main")`) {
		t.Error("the next stop is not in the content")
	}
}

// contrast lists texts whose contrast to what is behind them is less than 4.5
// (WCAG 2.2 §1.4.3).
const contrast = `(() => {
	const channels = c => c.match(/[\d.]+/g).map(Number)
	const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0)
	const behind = e => { for (; e; e = e.parentElement) { const c = channels(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c } return [255, 255, 255] }
	const low = []
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement
		if (!walk.currentNode.data.trim()) continue
		const [a, b] = [luminance(channels(getComputedStyle(e).color)), luminance(behind(e))]
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
		if (ratio < 4.5) low.push(ratio.toFixed(2) + " " + e.tagName + "." + e.className + " " + walk.currentNode.data.trim().slice(0, 40))
	}
	return low.slice(0, 10)
})()`

// In the light and in the dark, everything can be read.
func TestLightAndDark(t *testing.T) {
	b := newTab(t, relay(t))
	for scheme, dark := range map[string]bool{"light": false, "dark": true} {
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for _, path := range []string{"/docs", "/problems/signature_invalid"} {
			b.open(path)
			if is := ask[bool](b, `(c => c[0] + c[1] + c[2] < 3 * 64)(getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number))`); is != dark {
				t.Errorf("%s, %s: is the page dark? %v", path, scheme, is)
			}
			if low := ask[[]string](b, contrast); len(low) > 0 {
				t.Errorf("%s, %s: too little contrast:\n%s", path, scheme, strings.Join(low, "\n"))
			}
		}
	}
}

// Nothing sticks out of a small screen, except inside what scrolls by itself.
func TestSmallScreen(t *testing.T) {
	b := newTab(t, relay(t))
	for _, width := range []int64{320, 360, 768, 1280} {
		call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 740, DeviceScaleFactor: 1, Mobile: width < 768})
		for _, path := range []string{"/docs", "/problems/idempotency_key_mismatch"} {
			b.open(path)
			ask[chromedp.Void](b, `document.querySelectorAll("details").forEach(d => d.open = true)`)
			if wide := ask[int64](b, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("%s is %d wide on a screen of %d", path, wide, width)
			}
			out := ask[[]string](b, `[...document.querySelectorAll("main *")].filter(e => !e.parentElement.closest("pre, .scroll") && e.getBoundingClientRect().right > innerWidth + 1)
				.map(e => e.tagName + " " + e.textContent.trim().slice(0, 40)).slice(0, 10)`)
			if len(out) > 0 {
				t.Errorf("%s at %d: these stick out:\n%s", path, width, strings.Join(out, "\n"))
			}
			if small := ask[float64](b, `Math.min(...[...document.querySelectorAll("main *")].map(e => parseFloat(getComputedStyle(e).fontSize)))`); small < 11 {
				t.Errorf("%s at %d: a text of %v px", path, width, small)
			}
		}
	}
}

// From a code in the catalogue one gets to its own page, and back to its place.
func TestProblemPage(t *testing.T) {
	b := newTab(t, relay(t))
	b.open("/docs")
	b.do(chromedp.Click(chromedp.CSS(`a[href="/problems/lease_lost"]`)), chromedp.WaitVisible(`//h1[contains(., "lease_lost")]`))
	if at := ask[string](b, `location.pathname`); at != "/problems/lease_lost" {
		t.Errorf("the link leads to %s", at)
	}
	for _, text := range []string{"409", "The lease is no longer held", "Stop working on this delivery", "jobId", `"code": "lease_lost"`} {
		if !strings.Contains(ask[string](b, `document.body.innerText`), text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	b.do(chromedp.Click(chromedp.CSS(`main a`)), chromedp.WaitVisible(chromedp.CSS(`#error-lease_lost`)))
	if at := ask[string](b, `location.pathname + location.hash`); at != "/docs#error-lease_lost" {
		t.Errorf("back leads to %s", at)
	}
}

// On paper there are no contents to click, and nothing is folded away.
func TestPrints(t *testing.T) {
	b := newTab(t, relay(t))
	b.open("/docs")
	pages, err := chromedp.Run(b.ctx, chromedp.PrintToPDF())
	if err != nil {
		t.Fatal(err)
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	if !strings.HasPrefix(string(pages), "%PDF") || len(pages) < 100_000 {
		t.Errorf("printed %d bytes", len(pages))
	}
	if !ask[bool](b, `getComputedStyle(document.querySelector("nav")).display === "none" && document.querySelector("#snippet-python").getBoundingClientRect().height > 100`) {
		t.Error("on paper the contents are shown, or what is folded is not")
	}
}
