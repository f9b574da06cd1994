"""The page in a real browser. `CHROMIUM` names it, else the one on the path or Playwright's own is taken."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from tests.serve.conftest import serving

pytestmark = pytest.mark.browser
PROMPT = "what is two plus two?"
TEXTS = ["Four. It is four because two and two are four.", "five", "<img src=x onerror=alert(1)> & <b>no</b>"]
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """`open_page(url, **options)`: the page, ready; at the end, that nothing failed in it or left for another host."""
    opened = []

    def open_(url, **options):
        context = browser.new_context(**options)
        page = context.new_page()
        page.wrong, page.asked = [], []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: page.asked.append(request))
        page.goto(url)
        page.wait_for_load_state("networkidle")
        opened.append((context, page, url))
        return page

    yield open_
    for context, page, url in opened:
        hosts = {"/".join(request.url.split("/")[:3]) for request in page.asked if not request.url.startswith("data:")}
        assert hosts == {"/".join(url.split("/")[:3])}
        expected = re.compile(r"the server responded with a status of 4\d\d")  # Chromium's own words for a refusal
        assert [text for text in page.wrong if not expected.search(text)] == []
        context.close()


def ask(page, prompt=PROMPT, texts=TEXTS[:2]):
    page.fill("#prompt", prompt)
    while page.locator(".response").count() < len(texts):
        page.click("#add")
    for place, text in enumerate(texts):
        page.locator(".response textarea").nth(place).fill(text)
    page.click("#judge")


def judged(page):
    """The words of the verdict, once all is there."""
    page.wait_for_selector("#results:not([hidden]):not(.stale)")
    page.wait_for_selector("#legend:has-text('Left out in turn')")
    return page.inner_text("#verdict")


def facts(page):
    return dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))


def signed(number):
    return f"{'−' if number < 0 else '+'}{abs(number):.2f}"


def test_it_tells_what_the_model_says(both, url, open_page):
    page = open_page(url)
    ask(page)
    said = judged(page)
    verdict = both.compare(PROMPT, *TEXTS[:2])
    assert said.startswith(f"{verdict.better} is better")
    assert facts(page)["Log-odds"] == signed(verdict.logit)
    assert ("they agree" in facts(page)["Both orders"]) == verdict.agree
    assert facts(page)["Cut"] == "nothing"
    ranking = both.rank(PROMPT, TEXTS[:2])
    assert page.locator("#ranking b").all_inner_texts() == ["AB"[place.index] for place in ranking]
    assert "random-bert" in page.inner_text("#model")


def test_each_part_shows_what_leaving_it_out_does(both, url, open_page):
    page = open_page(url)
    ask(page, texts=TEXTS)
    judged(page)
    order = [place.index for place in both.rank(PROMPT, TEXTS)]
    for place, index in enumerate(order):
        region = page.locator("#ranking .text").nth(place)
        assert region.evaluate("element => element.textContent") == TEXTS[index]
    parts = page.locator("#ranking .text").nth(order.index(0)).locator(".part").all_inner_texts()
    assert parts == ["Four.", "It is four because two and two are four."]
    rival = TEXTS[order[1] if order[0] == 0 else order[0]]
    whole, without = (both.compare(PROMPT, text, rival).logit for text in (TEXTS[0], parts[1]))
    shown = page.locator("#ranking .text").nth(order.index(0)).locator(".part").first.get_attribute("title")
    assert abs(float(shown.replace("−", "-")) - (whole - without)) < 0.0051


def test_text_is_never_taken_for_html(url, open_page):
    page = open_page(url)
    page.on("dialog", lambda dialog: pytest.fail("a script of the user's text ran"))
    ask(page, prompt=TEXTS[2], texts=[TEXTS[2], "a"])
    judged(page)
    assert page.locator("#results img, #results .text b").count() == 0


def test_a_pair_model_tells_both_orders_and_its_rule(pairs_only, pairs_url, open_page):
    page = open_page(pairs_url)
    ask(page)
    judged(page)
    verdict = pairs_only.compare(PROMPT, *TEXTS[:2])
    assert f"{100 * verdict.p_a_shown_first:.0f}% shown first" in facts(page)["Both orders"]
    assert "in this list alone" in page.inner_text("#rule")


def test_by_keyboard_alone(url, open_page):
    page = open_page(url)
    page.focus("#prompt")
    page.keyboard.type(PROMPT)
    for text in TEXTS[:2]:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
        page.keyboard.type(text)
    page.keyboard.press("Control+Enter")
    assert "is better" in judged(page)
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"judge", "add", "share", "domain", "text"} <= set(seen)


def test_everything_that_can_be_used_has_a_name(url, open_page):
    page = open_page(url)
    ask(page, texts=TEXTS)
    judged(page)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input, textarea, select, button, [role=region]')]
            .filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim()))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_a_link_holds_the_texts_and_no_server_sees_them(url, open_page):
    page = open_page(url, permissions=["clipboard-read", "clipboard-write"])
    page.fill("#prompt", "ü🙂 " + PROMPT)
    for place, text in enumerate(TEXTS[:2]):
        page.locator(".response textarea").nth(place).fill(text)
    page.click("#share")
    page.wait_for_selector("#told:has-text('Link copied')")
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_page(link)
    assert other.input_value("#prompt") == "ü🙂 " + PROMPT
    assert [box.input_value() for box in other.locator(".response textarea").all()] == TEXTS[:2]
    assert all("#" not in request.url.removeprefix(link) or request.url == link for request in other.asked)
    assert {request.method for request in other.asked} == {"GET"}, "a link that is opened asks nothing by itself"


@pytest.mark.parametrize("fragment", ["#q=", "#q=!!", "#q=AAAA", "#q=q1YqLk0uTs1TslIqAQA"])
def test_a_broken_link_is_told(url, open_page, fragment):
    page = open_page(f"{url}/{fragment}")
    assert "cannot be read" in page.inner_text("#problem")
    ask(page)
    judged(page)


def test_empty_fields_are_told_and_focused(url, open_page):
    page = open_page(url)
    page.click("#judge")
    assert "Write a prompt first" in page.inner_text("#problem")
    assert page.evaluate("document.activeElement.id") == "prompt"
    page.fill("#prompt", PROMPT)
    page.click("#judge")
    assert "Response A is empty" in page.inner_text("#problem")


def test_a_server_that_wants_a_token_asks_for_it(both, open_page):
    with serving(both, token="secret") as url:
        page = open_page(url)
        assert "wants a token" in page.inner_text("#problem")
        page.fill("#token", "wrong")
        page.keyboard.press("Tab")
        page.wait_for_selector("#problem:has-text('does not take')")
        page.fill("#token", "secret")
        page.keyboard.press("Tab")
        page.wait_for_selector("#problem:empty", state="hidden")
        ask(page)
        judged(page)


def test_a_busy_server_can_be_tried_again(url, open_page):
    page = open_page(url)
    busy = {"status": 429, "headers": {"Retry-After": "1"}, "json": {"error": {"message": "full"}}}
    page.route("**/v1/rank", lambda route: route.fulfill(**busy), times=1)
    ask(page)
    page.wait_for_selector("#problem button:enabled")
    assert "busy" in page.inner_text("#problem")
    page.click("#problem button")
    judged(page)


def test_what_was_cut_is_told(url, open_page):
    page = open_page(url)
    ask(page, texts=["word " * 3000, "no"])
    judged(page)
    assert re.search(r"A: [\d,]+ tokens, out of the middle", facts(page)["Cut"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 900}], ids=["phone", "desk"])
def test_it_fits_and_can_be_read(url, open_page, scheme, viewport):
    page = open_page(url, color_scheme=scheme, viewport=viewport)
    ask(page, texts=[*TEXTS, "unbroken" * 40])
    judged(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    faint = page.evaluate(Path(__file__).with_name("contrast.js").read_text("utf-8"))
    assert faint == [], "text that stands out from its ground by less than WCAG's 4.5"
